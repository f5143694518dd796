"""Running the code a target names, as Python would run a script or import a module."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from headwater.cli.blaming import calling
from headwater.cli.locating import find_spec


@contextmanager
def as_script(path: Path) -> Iterator[None]:
    """As Python does for a script: its own folder comes first on ``sys.path``, and ``sys.argv`` is its own."""
    argv, search_path = sys.argv, sys.path[:]
    sys.argv, sys.path[:] = [str(path)], [str(path.parent), *search_path]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, search_path


def load_file(path: Path, name: str) -> ModuleType:
    """Run a file, for ``name`` in it, as the module of its name, so that what it defines can be pickled for workers.

    Raises:
        InputError: If its code fails; the message has the error and its line.
    """
    module = importlib.util.module_from_spec(spec := _spec_of_file(path))
    sys.modules[spec.name] = module
    with calling(f"{path.name} stopped with an error while it was loaded", path, name), _no_bytecode():
        assert spec.loader is not None, "a spec made from a file has a loader"
        spec.loader.exec_module(module)
    return module


def load_module(module: str) -> ModuleType:
    """Import a module by name.

    Raises:
        InputError: If its code fails; the message has the error and its line.
    """
    with calling(f"module {module} stopped with an error while it was imported", None, ""):
        return importlib.import_module(module)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no ``__pycache__`` beside the user's file: a target that turns out to be unusable writes nothing."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _spec_of_file(path: Path) -> ModuleSpec:
    name = re.sub(r"\W", "_", path.stem)
    other = find_spec(name, sys.path)
    if name in sys.modules or (other is not None and other.origin != str(path)):
        name = f"headwater_target_{name}"  # a user's click.py must not become everyone's click
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, f"{path} has the suffix of a Python file"
    return spec
