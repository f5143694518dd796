"""The experiment that a target names, made once more in another process."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout

from headwater.cli.target import loaded, loaded_function
from headwater.records import Experiment


def experiment_of(target: str, folder: str) -> Experiment:
    """Run the target's code again, from where the command was given; what it prints goes to stderr.

    Args:
        target: As on the command line.
        folder: The folder the command was given in.
    """
    os.chdir(folder)
    with redirect_stdout(sys.stderr):
        return loaded(target)


def function_of(target: str, folder: str) -> Callable[..., Experiment]:
    """The same for a function that takes arguments: it is not called."""
    os.chdir(folder)
    with redirect_stdout(sys.stderr):
        return loaded_function(target)
