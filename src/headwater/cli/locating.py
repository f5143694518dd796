"""Where the code is that a target names; nothing is run to find it, or to say that it is not there."""

import ast
import difflib
import os
import shlex
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from headwater.cli.asked import command
from headwater.records import InputError


def existing_file(location: str, name: str) -> Path:
    """The resolved path of a Python file.

    Raises:
        InputError: If it is none; the message names the nearest one that is.
    """
    path = Path(location)
    if path.suffix == ".py" and os.path.isfile(path):  # unlike its method, false for an impossible name
        return path.resolve()
    if os.path.isfile(path):
        raise InputError(f"{location} is no Python file: a target is FILE.py:NAME, such as train.py:experiment.")
    if os.path.isdir(path):
        raise InputError(f"{location} is a folder: name a file in it.{_nearest_file(path / 'train.py', name)}")
    folder = "" if os.path.isdir(path.parent) else f" (nor a folder {path.parent})"
    raise InputError(f"there is no file {location}{folder}.{_nearest_file(path, name)}")


def find_module(module: str, name: str) -> Path:
    """The file of a module, found without running anything: not even the packages it lies in.

    Raises:
        InputError: If Python knows no such module; the message has the call for a file of that name if one is there.
    """
    spec = find_spec(module)
    if spec is not None:
        return Path(spec.origin or next(iter(spec.submodule_search_locations or ()), module))
    folder = Path(*module.split("."))
    path = folder.with_name(f"{folder.name}.py")
    for file in (path, folder / "__init__.py"):
        if os.path.isfile(file):
            call = _call_of(file, module, name or "NAME")
            raise InputError(f"Python finds no module {module}, but there is a file {file}: {call}")
    raise InputError(
        f"Python finds no module {module}. Install its package here, or name a file: headwater {command()} FILE.py:"
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


def module_call(path: Path, name: str) -> str:
    """The call that runs a file by the dotted name of its module, up to the top-most folder with an ``__init__.py``.

    Where relative imports reach further up than that, the name reaches as far.
    """
    path = path.resolve()
    folders, level = [path.parent], max(_import_levels(path), default=0)
    for folder in path.parent.parents:
        if len(folders) >= level and not (folder / "__init__.py").is_file():
            break
        folders.append(folder)
    root = folders[-1].parent
    parts = [folder.name for folder in reversed(folders)] + [path.stem] * (path.stem != "__init__")
    place = "." if root == Path.cwd() else shlex.quote(str(root))
    return f"PYTHONPATH={place} headwater {command()} {'.'.join(parts)}:{name}"


def _call_of(file: Path, module: str, name: str) -> str:
    """How to check a file that was named as a module which Python does not find: if it lies in a package, still so."""
    if "." in module or file.name == "__init__.py":
        return f"PYTHONPATH=. headwater {command()} {module}:{name}"
    if any(_import_levels(file)):
        return module_call(file, name)
    return f"headwater {command()} {file}:{name}"


def _import_levels(path: Path) -> list[int]:
    """For each ``from ... import`` in a file, how many folders up it looks: 0 for an absolute one."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    return [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def _nearest_file(path: Path, name: str) -> str:
    folder = path.parent if os.path.isdir(path.parent) else Path()
    stems = sorted(file.stem for file in folder.glob("*.py"))
    near = stems if len(stems) == 1 else difflib.get_close_matches(path.stem, stems, n=1)
    return f" Did you mean this? headwater {command()} {folder / near[0]}.py:{name or 'NAME'}" if near else ""
