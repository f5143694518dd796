"""Where the code is that a target names; nothing is run to find it, or to say that it is not there."""

import difflib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from headwater.records import InputError


def existing_file(location: str, name: str) -> Path:
    """The resolved path of a Python file.

    Raises:
        InputError: If it is none; the message names the nearest one that is.
    """
    path = Path(location)
    if path.suffix == ".py" and path.is_file():
        return path.resolve()
    if path.is_file():
        raise InputError(f"{location} is no Python file: a target is FILE.py:NAME, such as train.py:experiment.")
    if path.is_dir():
        raise InputError(f"{location} is a folder: name a file in it.{_nearest_file(path / 'train.py', name)}")
    folder = "" if path.parent.is_dir() else f" (nor a folder {path.parent})"
    raise InputError(f"there is no file {location}{folder}.{_nearest_file(path, name)}")


def find_module(module: str, name: str) -> Path:
    """The file of a module, found without running anything: not even the packages it lies in.

    Raises:
        InputError: If Python knows no such module; the message offers ``FILE.py:NAME`` if a file of that name is there.
    """
    spec = find_spec(module)
    if spec is not None:
        return Path(spec.origin or next(iter(spec.submodule_search_locations or ()), module))
    path = Path(*module.split(".")).with_suffix(".py")
    if path.is_file():
        raise InputError(
            f"Python finds no module {module}, but there is a file {path}: headwater check {path}:{name or 'NAME'}"
        )
    raise InputError(
        f"Python finds no module {module}. Install its package here, or name a file: headwater check FILE.py:"
        f"{name or 'NAME'}.{_nearest_file(path, name)}"
    )


def find_spec(module: str, path: list[str] | None = None) -> ModuleSpec | None:
    """As ``importlib.util.find_spec``, which would import the packages on the way."""
    spec, parts = None, module.split(".")
    for depth in range(1, len(parts) + 1):
        found = (finder.find_spec(".".join(parts[:depth]), path) for finder in sys.meta_path)
        spec = next((candidate for candidate in found if candidate is not None), None)
        if spec is None or (spec.submodule_search_locations is None and depth < len(parts)):
            return None
        path = list(spec.submodule_search_locations or ())
    return spec


def _nearest_file(path: Path, name: str) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    stems = sorted(file.stem for file in folder.glob("*.py"))
    near = stems if len(stems) == 1 else difflib.get_close_matches(path.stem, stems, n=1)
    return f" Did you mean this? headwater check {folder / near[0]}.py:{name or 'NAME'}" if near else ""
