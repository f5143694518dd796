"""The runs that may be seen, found by looking and known to the page by an id that says nothing about where they lie."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from headwater.records import HeadwaterError, InputError
from headwater.store.layout import RUN_FILE, checked, read_small, start_of

MOST_RUNS = 200


@dataclass(frozen=True)
class Shelved:
    """One run.

    Attributes:
        id: Made up when it was found.
        name: Of its folder.
        path: Where it lies.
    """

    id: str
    name: str
    path: Path


class Shelf:
    """A run's folder, or a folder of runs. Links are not followed: what they lead to was not asked for.

    Args:
        root: The folder.
        rank: Whose numbers are shown, where several trained together; by default those of all.

    Raises:
        InputError: If it is neither.
    """

    def __init__(self, root: Path, rank: int | None = None) -> None:
        self._root = root
        self.rank = rank
        self._ids: dict[str, str] = {}
        self.is_one = _is_run(root)
        if not self.is_one and not self.runs():
            raise InputError(
                f"{root} is no run, and no folder with runs: a run is a folder that "
                "hw.watch(model, optimizer, run=...) records into."
            )

    def runs(self) -> list[Shelved]:
        """What is there now, newest first."""
        if self.is_one:
            return [self._shelved(self._root)]
        try:
            found = [entry for entry in os.scandir(self._root) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        paths = [Path(entry.path) for entry in found if _is_run(Path(entry.path)) and not _is_sweep(Path(entry.path))]
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
        return [self._shelved(path) for path in newest[:MOST_RUNS]]

    def path(self, id: str) -> Path | None:
        """Where the run of that id lies, ``None`` if there is none; an id is compared, never made a path of."""
        return next((run.path for run in self.runs() if run.id == id), None)

    def _shelved(self, path: Path) -> Shelved:
        return Shelved(self._ids.setdefault(str(path), secrets.token_hex(8)), path.name, path)


def _is_run(path: Path) -> bool:
    try:
        return path.is_dir() and any(name == RUN_FILE or start_of(name) is not None for name in os.listdir(path))
    except OSError:
        return False


def _is_sweep(path: Path) -> bool:
    """Whether it holds the results of many trainings, and no step of any: there is nothing to watch."""
    try:
        return isinstance(checked(read_small(path / RUN_FILE)).get("sweep"), dict)
    except (OSError, ValueError, HeadwaterError):
        return False
