"""Rules, remedies, lessons and loggers that other packages bring, by entry points.

A package names them in its metadata: ``[project.entry-points."headwater.rules"]``, then ``name = "module:OBJECT"``. The
object is one rule, remedy or logger class, or several in a tuple; of a lesson, the name is its id. Texts lie in the
package's ``i18n/en.toml`` and ``i18n/ko.toml``, under full ids. What cannot be used is named in a
:class:`PluginWarning` and left out: a package that somebody has broken costs nobody their diagnosis.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group = Literal["rules", "remedies", "lessons", "loggers"]
GROUPS: tuple[Group, ...] = ("rules", "remedies", "lessons", "loggers")

Kind = TypeVar("Kind")


class PluginWarning(UserWarning):
    """A plugin was left out, or failed; the message names it, its package and the reason."""


@cache
def named(group: Group) -> tuple[EntryPoint, ...]:
    """The entry points of a group, in the order of their names, so that a report does not change with the disk."""
    from importlib.metadata import entry_points  # takes longer than all else that `headwater --help` loads

    found = entry_points(group=f"headwater.{group}")
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.value)))


def loaded(
    group: Group, kind: type[Kind], id_of: Callable[[Kind], str], taken: Iterable[str]
) -> tuple[tuple[str, Kind], ...]:
    """What the plugins of a group bring, each with what to call it in a warning; what cannot be used is left out.

    Args:
        group: Which.
        kind: What each has to be.
        id_of: Its id.
        taken: Ids of our own.
    """
    found: list[tuple[str, Kind]] = []
    ids = dict.fromkeys(taken, "headwater itself")
    for entry in named(group):
        for value in _objects(entry):
            if not isinstance(value, kind):
                leave_out(entry, f"it gives a {type(value).__name__}, and should give a {kind.__name__}")
                continue
            id_ = id_of(value)
            if not isinstance(id_, str) or not id_:
                leave_out(entry, f"its id is {id_!r}, and should be a word")
            elif id_ in ids:
                leave_out(entry, f"the id {id_!r} is taken by {ids[id_]}")
            else:
                ids[id_] = label(entry)
                found.append((label(entry), value))
    return tuple(found)


def load(entry: EntryPoint) -> Any:
    """What an entry point names; ``None`` if it cannot be loaded, which is told."""
    try:
        return entry.load()
    except Exception as error:  # whatever a foreign module raises as it is imported
        leave_out(entry, f"{type(error).__name__}: {error}")
        return None


def _objects(entry: EntryPoint) -> Iterator[Any]:
    value = load(entry)
    if isinstance(value, (tuple, list)):
        yield from value
    elif value is not None:
        yield value


def label(entry: EntryPoint) -> str:
    """What to call it: ``'noise' of headwater-noise``."""
    return f"{entry.name!r} of {entry.dist.name if entry.dist is not None else entry.value}"


def leave_out(entry: EntryPoint, why: str) -> None:
    """Say that something is left out."""
    warn(f"left out the {entry.group.removeprefix('headwater.')} plugin {label(entry)}: {why}.")


def warn(message: str) -> None:
    """Say something about a plugin, once a process."""
    warnings.warn(message, PluginWarning, stacklevel=3)


@cache
def texts(language: str) -> dict[str, str]:
    """Every template that the plugins' packages bring for a language, by its dotted id.

    A message of our own is never looked for here, so none can be replaced.
    """
    found: dict[str, str] = {}
    for entry in (entry for group in GROUPS for entry in named(group)):
        try:
            for page in _pages(entry, language):
                found |= dict(_flat(tomllib.loads(page.read_text(encoding="utf-8")), ""))
        except (OSError, ValueError, ImportError) as error:  # no valid page; what cannot be imported is told elsewhere
            leave_out(entry, f"its texts in {language!r} cannot be read ({type(error).__name__}: {error})")
    return found


def _pages(entry: EntryPoint, language: str) -> list[Path]:
    """The pages of the package that an entry point is in, which is not imported for that."""
    spec = find_spec(entry.module.partition(".")[0])
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    pages = [Path(folder, "i18n", f"{language}.toml") for folder in folders]
    return [page for page in pages if page.is_file()]


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)
