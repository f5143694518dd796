"""The documentation site: ``docs/`` laid out for Zensical in two languages, and the pages that are made from the code."""
