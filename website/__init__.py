"""The documentation site: ``docs/`` laid out in two languages, and the pages that are made from the code."""
