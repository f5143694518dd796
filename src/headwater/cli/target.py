"""``FILE.py:NAME`` and ``MODULE:NAME``: from words on the command line to an Experiment.

This runs the code it is pointed at, so it does so only for the very target given, and says first what it runs.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from headwater.cli import advice
from headwater.cli.blaming import calling, running_code_of
from headwater.cli.loading import as_script, load_file, load_module
from headwater.cli.locating import existing_file, find_module
from headwater.i18n import text
from headwater.records import Experiment, InputError


@dataclass(frozen=True)
class Target:
    """Where to look, and for what.

    Attributes:
        location: Path of a Python file, or dotted name of a module.
        name: The name in it; ``""`` if none was given.
    """

    location: str
    name: str

    @property
    def is_file(self) -> bool:
        separators = [os.sep, os.altsep] if os.altsep else [os.sep]
        named_as_path = self.location.endswith(".py") or any(separator in self.location for separator in separators)
        return named_as_path or "" in self.location.split(".")  # `.`, `..` and `.hidden` are no modules

    def __str__(self) -> str:
        return f"{self.location}:{self.name}"


def parse(target: str) -> Target:
    """Split at the last colon, unless what follows it is still a path (``C:\\train.py``).

    Example:
        >>> parse("C:/work/train.py:experiment")
        Target(location='C:/work/train.py', name='experiment')
        >>> parse("train.py")
        Target(location='train.py', name='')
    """
    location, colon, name = target.rpartition(":")
    if not colon or "/" in name or "\\" in name:
        return Target(target, "")
    return Target(location, name)


@contextmanager
def running(target: str) -> Iterator[Experiment]:
    """The experiment that ``target`` names; until the block ends, the folder of its file is importable.

    Raises:
        InputError: If there is no such thing, or its code fails; the message has the corrected call.
    """
    parsed, path = located(target)
    click.echo(text("cli.runs", {"path": str(path)}), err=True)
    with as_script(path) if parsed.is_file else nullcontext():
        module = load_file(path, parsed.name) if parsed.is_file else load_module(parsed.location)
        experiment = _experiment_in(module, parsed, path)
        with running_code_of(path, parsed.name):
            yield experiment


def loaded(target: str) -> Experiment:
    """The same for good, in a process that does nothing else; nothing is told."""
    parsed, path, module = _loaded_module(target)
    return _experiment_in(module, parsed, path)


def loaded_function(target: str) -> Callable[..., Experiment]:
    """The function that a target names, for good; it is not called.

    Raises:
        InputError: If there is no such thing, or its code fails while it is loaded.
    """
    parsed, path, module = _loaded_module(target)
    function: Callable[..., Experiment] = _value_in(module, parsed, path)
    return function


def _loaded_module(target: str) -> tuple[Target, Path, ModuleType]:
    parsed, path = located(target)
    if not parsed.is_file:
        return parsed, path, load_module(parsed.location)
    sys.argv, sys.path[:] = [str(path)], [str(path.parent), *sys.path]
    return parsed, path, load_file(path, parsed.name)


def located(target: str) -> tuple[Target, Path]:
    """What a target means, and the file of its code.

    Raises:
        InputError: If there is no such file, or the target names nothing in it.
    """
    parsed = parse(os.path.expanduser(target))  # a shell leaves a quoted ~ as it is
    if not parsed.location:
        raise InputError(advice.no_location(target))
    path = existing_file(parsed.location, parsed.name) if parsed.is_file else find_module(parsed.location, parsed.name)
    if not parsed.name.isidentifier():
        raise InputError(advice.no_name(parsed.location, parsed.name, path))
    return parsed, path


def _value_in(module: ModuleType, target: Target, path: Path) -> Any:
    try:
        return getattr(module, target.name)
    except AttributeError:
        raise InputError(advice.no_such_name(target.location, target.name, vars(module), path)) from None


def _experiment_in(module: ModuleType, target: Target, path: Path) -> Experiment:
    value = _value_in(module, target, path)
    if isinstance(value, Experiment):
        return value
    if advice.is_model(value) or isinstance(value, type) or not callable(value):
        raise InputError(advice.not_an_experiment(target.location, target.name, value))
    return _returned_by(value, target, path)


def _returned_by(function: Callable[..., Any], target: Target, path: Path) -> Experiment:
    missing = _required_arguments(function)
    if missing:
        raise InputError(advice.needs_arguments(target.location, target.name, missing))
    with calling(f"{target} stopped with an error", path, target.name):
        value = function()
    if isinstance(value, Experiment):
        return value
    raise InputError(advice.returned_something_else(target.location, target.name, value))


def _required_arguments(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, and silent about what it takes: calling it tells
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
