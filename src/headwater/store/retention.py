"""Make room: what is old gets coarser, and the steps around alarms stay as they were recorded.

First single steps go, oldest first, then rows of 16, then of 256. Rows of 4,096 steps, losses, scalars and events stay,
and so does what the newest log was sealed into.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headwater.store.columns import ROLLED, Group
from headwater.store.disk import Disk
from headwater.store.layout import LEVELS, level_folder, pinned_folder, segment_of, start_of
from headwater.store.segments import KEY, Segment, write_segment

BEFORE, AFTER = 64, 64
"""Recorded steps around an alarm that stay: thrice the 20 before it that `headwater why` shows."""
_ALARMS = 32  # of one segment, from its beginning and from its end


@dataclass(frozen=True)
class _File:
    path: Path
    size: int


def make_room(disk: Disk, run: Path, budget: int) -> None:
    """Remove the least useful segments until the run fits into its budget, or nothing is left to remove.

    Args:
        disk: Makes the calls.
        run: Its folder.
        budget: Bytes.

    Raises:
        OSError: If the steps around an alarm cannot be written in a place of their own; their segment stays then.
    """
    excess = _size(run) - budget
    for level in (1, *LEVELS[:-1]):
        for files in _oldest_first(run, level):
            if excess <= 0:
                return
            for group, file in files.items():
                kept = _pin(disk, file.path, group) if level == 1 else 0
                with suppress(FileNotFoundError):
                    disk.unlink(file.path)
                excess -= file.size - kept


def _size(run: Path) -> int:
    total = 0
    for folder, _, names in os.walk(run):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _oldest_first(run: Path, level: int) -> list[dict[Group, _File]]:
    """Segments of a level, those of one log together; without those of the newest log."""
    found: dict[tuple[int, int, int], dict[Group, _File]] = {}
    for entry in os.scandir(run):
        start = start_of(entry.name)
        if start is None or not entry.is_dir(follow_symlinks=False):
            continue
        for group in ROLLED:
            folder = Path(entry.path, level_folder(group, level))
            for name in os.listdir(folder) if folder.is_dir() else ():
                named = segment_of(name)
                if named is not None:
                    with suppress(OSError):
                        size = (folder / name).stat().st_size
                        found.setdefault((start[0], named.last, start[1]), {})[group] = _File(folder / name, size)
    if not found:
        return []
    newest = max(key[:2] for key in found)
    return [files for key, files in sorted(found.items()) if key[:2] != newest]


def _pin(disk: Disk, path: Path, group: Group) -> int:
    """Write the steps around alarms in a place of their own; gives how many bytes that takes."""
    number = segment_of(path.name)
    assert number is not None
    alarms = _alarms(path.parent.parent, number.first)
    if not alarms:
        return 0
    segment = Segment(path)
    clock = segment.clock
    wanted = np.zeros(len(clock), bool)
    for step in alarms:
        place = int(np.argmin(np.abs(clock.step - step)))
        # Whole rows of the first rollup, so that a reader shows each step once.
        begin = max(0, clock.ordinal[place] - BEFORE) // LEVELS[0] * LEVELS[0]
        end = -(-(clock.ordinal[place] + AFTER) // LEVELS[0]) * LEVELS[0]
        wanted |= (clock.ordinal >= begin) & (clock.ordinal < end)
    rows = np.flatnonzero(np.tile(wanted, len(segment.names)))
    table = segment.table()
    floats = [
        name for name in table.column_names if name not in ("site", "parameter", "ordinal", "step", "number", "time")
    ]
    facts = {**segment.facts, "count": int(wanted.sum()), "logs": [], "pinned": True}
    folder = path.parent.parent / pinned_folder(group)
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != KEY}
    kept = table.take(rows).replace_schema_metadata(metadata)
    return write_segment(disk, folder, number[:2], kept, facts, floats).stat().st_size


def _alarms(start: Path, number: int) -> list[int]:
    """Steps at which alarms were raised while a log was written."""
    folder = start / "events"
    for name in os.listdir(folder) if folder.is_dir() else ():
        named = segment_of(name)
        if named is not None and named.first == number:
            rows = Segment(folder / name).table().select(["step", "alarm"]).to_pylist()
            steps = [row["step"] for row in rows if row["alarm"]]
            return steps if len(steps) <= 2 * _ALARMS else steps[:_ALARMS] + steps[-_ALARMS:]
    return []
