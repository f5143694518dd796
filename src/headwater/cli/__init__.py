"""The command line: one file per command, thin shells over ``headwater.api``."""
