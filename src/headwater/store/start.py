"""One process start of one rank, as a reader finds it: sealed segments, and logs that are not sealed yet."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.store.arrow import are_known, integers, numbers
from headwater.store.columns import COURSE, GROUPS, ROLLED, Group
from headwater.store.keeper import WATCH_FILE
from headwater.store.layout import (
    FLOWS_FOLDER,
    FORMAT,
    GATHERED,
    HEARTBEAT_FILE,
    LEVELS,
    ROWS_FILE,
    START_FILE,
    NewerFormatError,
    SegmentName,
    checked,
    level_folder,
    log_of,
    pinned_folder,
    read_small,
    segment_of,
)
from headwater.store.logfile import Damage, LogFile
from headwater.store.payloads import MAX_ROWS, PayloadError, Table
from headwater.store.rollup import rolled_up
from headwater.store.scalars import Scalars, scalars_of
from headwater.store.sealing import clock_of, end_event
from headwater.store.segments import Clock, ForeignError, Segment

TABLES = (
    "steps",
    "scalars",
    "events",
    *(level_folder(group, level) for group in ROLLED for level in (1, *LEVELS)),
    *(pinned_folder(group) for group in ROLLED),
)
"""Folders of segments in a start's own."""

_FLOW_SUFFIX = ".json.gz"
_MAX_FLOW = 256 << 20  # bytes, unpacked
_KEPT = 256 << 20  # bytes of columns


@dataclass
class Piece:
    """The part of a start that one log holds or held.

    Attributes:
        number: Of the log.
        log: If it is not sealed.
        files: Segments by table and level.
    """

    number: int
    log: LogFile | None = None
    files: dict[str, Path] = field(default_factory=dict)


class Start:
    """Reads one start's folder; :meth:`refresh` finds what has come since.

    Args:
        folder: Of the start.
        number: Of the start.
        rank: That wrote it.
    """

    def __init__(self, folder: Path, number: int, rank: int) -> None:
        self.folder = folder
        self.number = number
        self.rank = rank
        self.pieces: list[Piece] = []
        self._logs: dict[int, LogFile] = {}
        self._segments: dict[Path, Segment | Damage] = {}
        self._columns: dict[tuple[Path, str], Table] = {}
        self._columns_size = 0
        self._scalars: dict[Path, Scalars] = {}
        self._events: dict[Path, list[dict[str, Any]]] = {}
        self._rows: dict[Group, list[dict[str, Any]]] | None = None
        self.is_outdated = False
        """Whether a file is gone that was there: rows were gathered in a larger one, or made room."""

    def refresh(self) -> None:
        """Look again. A log that vanishes meanwhile has been sealed: look once more."""
        for _ in range(5):
            try:
                self._look()
                return
            except FileNotFoundError:
                continue

    def _look(self) -> None:
        logs = {n: path for path in self.folder.iterdir() if (n := log_of(path.name)) is not None}
        pieces = {number: Piece(number) for number in logs}
        for number, path in logs.items():
            log = self._logs.setdefault(number, LogFile(path))
            try:
                log.refresh()
            except FileNotFoundError:
                raise
            except OSError as error:
                log.damage = [Damage(path.name, 0, 0, error.strerror or str(error))]
            pieces[number].log = log
        for number in set(self._logs) - set(logs):
            del self._logs[number]
        found: list[tuple[SegmentName, str, Path]] = []
        for table in TABLES:
            folder = self.folder / table
            if not folder.is_dir() or folder.is_symlink():
                continue
            for path in folder.iterdir():
                named = segment_of(path.name)
                if named is not None:
                    found.append((named, table, path))
        for named, table, path in sorted(found):  # of two files that have a log's rows, the larger one
            for number in range(named.first, named.last + 1):
                if number not in logs:
                    pieces.setdefault(number, Piece(number)).files[table] = path
        self.pieces = [pieces[number] for number in sorted(pieces)]
        self._rows = None
        self.is_outdated = False

    # What is known of it

    @property
    def who(self) -> dict[str, Any]:
        """Who wrote it; empty if that is damaged."""
        return self._small(START_FILE)

    @property
    def facts(self) -> dict[str, Any]:
        """How the training was watched, as far as that was written down."""
        return self._small(WATCH_FILE)

    @property
    def heartbeat(self) -> dict[str, Any]:
        """The last sign of life; empty if there is none."""
        try:
            return checked(read_small(self.folder / HEARTBEAT_FILE).rstrip(b" \0"))
        except (OSError, PayloadError):
            return {}

    @property
    def end(self) -> dict[str, Any] | None:
        """What was said at the end."""
        for event in reversed(self.events()):
            if event["id"] == "event.end":
                return event
        return None

    def rows(self, group: Group) -> list[dict[str, Any]]:
        """What is known of each row, in the order of the tables."""
        if self._rows is None:
            self._rows = self._find_rows()
        return self._rows[group]

    def damage(self, met: bool = False) -> list[Damage]:
        """What could not be read.

        Args:
            met: Whether only among what was asked for so far; else every file is looked through.
        """
        found: list[Damage] = []
        for piece in self.pieces:
            if piece.log is not None:
                found += piece.log.damage
        for path in dict.fromkeys(path for piece in self.pieces for path in piece.files.values()):
            segment = self._segments.get(path) if met else self._open(path)
            found += [segment] if isinstance(segment, Damage) else []
        return [Damage(f"{self.folder.name}/{d.file}", d.start, d.stop, d.why) for d in found]

    def tail(self) -> Damage | None:
        """Bytes at the end of the last log that are no frame: torn, or just being written."""
        last = self.pieces[-1].log if self.pieces else None
        return last.tail if last is not None else None

    # Steps

    def clock(self, piece: Piece, level: int = 1, group: Group = "sites") -> Clock:
        """When the steps of a piece were recorded, a row per run of steps at a coarser level."""
        if piece.log is not None:
            clock = clock_of(piece.log)
            return clock if level == 1 else clock.taken(_starts(clock, level))
        for table in ("steps", group) if level == 1 else (level_folder(group, level),):
            segment = self.segment(piece, table)
            if segment is not None:
                return segment.clock.taken(segment.part(piece.number))
        return Clock.joined([])

    def level_there(self, piece: Piece, group: Group, wanted: int) -> int | None:
        """The level at hand nearest to the wanted one: a coarser one before a finer one."""
        if piece.log is not None:
            return wanted
        levels = (1, *LEVELS)
        coarser = [level for level in levels if level >= wanted]
        # Each is only opened if the ones before it are not there: a long run has a thousand files.
        for level in (*coarser, *(level for level in reversed(levels) if level < wanted)):
            if self.segment(piece, level_folder(group, level)) is not None:
                return level
        return None

    def column(self, piece: Piece, group: Group, level: int, statistic: str, reduce: str) -> Table:
        """One statistic, rows by steps (or runs of them)."""
        if piece.log is not None:
            values = piece.log.column(group, statistic)
            if level == 1 or not values.shape[1]:
                return values
            return rolled_up(values.T, _starts(clock_of(piece.log), level))[reduce].T
        segment = self.segment(piece, level_folder(group, level))
        assert segment is not None
        name = statistic if level == 1 else f"{statistic}.{reduce}"
        key = segment.path, name
        if key not in self._columns:
            values = segment.column(name)
            if self._columns_size + values.nbytes > _KEPT:
                self._columns.clear()
                self._columns_size = 0
            self._columns[key] = values
            self._columns_size += values.nbytes
        return self._columns[key][:, segment.part(piece.number)]

    def pinned(self, piece: Piece, group: Group, statistic: str) -> tuple[Clock, Table] | None:
        """The steps around alarms, where the others of a piece have gone to make room."""
        segment = self.segment(piece, pinned_folder(group))
        return None if segment is None else (segment.clock, segment.column(statistic))

    def recorded(self, piece: Piece) -> int:
        """Steps in a piece."""
        if piece.log is not None:
            return len(piece.log.steps)
        for group in ROLLED:  # one file speaks for several pieces, and is likely to be read from next
            rollup = self.segment(piece, level_folder(group, GATHERED[0]))
            steps = rollup.steps_of(piece.number) if rollup is not None else None
            if steps is not None:
                return steps
        segment = self.segment(piece, "steps")
        return segment.rows if segment is not None else len(self.clock(piece))

    def has_lost(self, piece: Piece) -> bool:
        """Whether the steps of a piece, their sites or their parameters are there at no level, by what was met so far.

        Nothing is opened for it: who has read a piece at any level has met what is damaged before.
        """
        if piece.log is not None:
            return bool(piece.log.damage)
        wanted = [("steps",), *(_levels_of(group) for group in ROLLED if self.rows(group))]
        return any(all(self._is_gone(piece, table) for table in tables) for tables in wanted)

    def _is_gone(self, piece: Piece, table: str) -> bool:
        path = piece.files.get(table)
        return path is None or isinstance(self._segments.get(path), Damage)

    def losses(self, piece: Piece) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The loss of each step, and whether it was told at all: one that was told may be NaN."""
        if piece.log is not None:
            return piece.log.losses()
        segment = self.segment(piece, "steps")
        if segment is None:
            return np.empty(0), np.empty(0, bool)
        column = segment.table()["loss"]
        return numbers(column), are_known(column)

    def course(self, piece: Piece) -> dict[str, NDArray[np.float64]]:
        """What each step showed of all parameters together, by name."""
        if piece.log is not None:
            return {name: piece.log.column("course", name)[0] for name in COURSE}
        segment = self.segment(piece, "steps")
        if segment is None:
            return {name: np.empty(0) for name in COURSE}
        table = segment.table()
        return {name: numbers(table[name]) for name in COURSE if name in table.column_names}

    def scalars(self, piece: Piece) -> Scalars:
        """What was logged in a piece, in order."""
        if piece.log is not None:
            return scalars_of(piece.log.scalars)
        path = piece.files.get("scalars")
        segment = self.segment(piece, "scalars")
        if path is None or segment is None:
            return scalars_of([])
        if path not in self._scalars:
            table = segment.table()
            names = table["name"].to_pylist()
            places = {name: place for place, name in enumerate(dict.fromkeys(names))}
            self._scalars[path] = Scalars(
                integers(table["step"]),
                integers(table["time"]) / 1e6,
                np.array([places[name] for name in names], np.int32),
                tuple(places),
                numbers(table["value"]),
            )
        return self._scalars[path]

    def events(self) -> list[dict[str, Any]]:
        """What happened, in order; its end too."""
        return [event for piece in self.pieces for event in self._events_of(piece)]

    def _events_of(self, piece: Piece) -> list[dict[str, Any]]:
        if piece.log is not None:
            return [*piece.log.events, *([end_event(piece.log.end)] if piece.log.end is not None else [])]
        path = piece.files.get("events")
        segment = self.segment(piece, "events")
        if path is None or segment is None:
            return []
        if path not in self._events:
            table = segment.table()
            times = (integers(table["time"]) / 1e6).tolist()
            rows = table.select(["step", "id", "values", "alarm"]).to_pylist()
            self._events[path] = [
                {**row, "time": time, "values": json.loads(row["values"])}
                for time, row in zip(times, rows, strict=True)
            ]
        return self._events[path]

    def flow_path(self, name: str) -> Path:
        """Where everything is kept that a step showed."""
        return self.folder / FLOWS_FOLDER / f"{name}{_FLOW_SUFFIX}"

    def flow_names(self) -> list[str]:
        """Of the steps that are kept as a whole."""
        try:
            names = sorted(entry.name for entry in (self.folder / FLOWS_FOLDER).iterdir())
        except OSError:
            return []
        return [name.removesuffix(_FLOW_SUFFIX) for name in names if name.endswith(_FLOW_SUFFIX) and name[0] != "."]

    def flow(self, name: str) -> dict[str, Any] | None:
        """What a kept step showed, as JSON; ``None`` if there is none or it is damaged."""
        try:
            packed = read_small(self.flow_path(name))
            unpacker = zlib.decompressobj(31)
            data = unpacker.decompress(packed, _MAX_FLOW)
            if not unpacker.eof:
                raise PayloadError(f"larger than {_MAX_FLOW:,} bytes, or cut off")
            found = json.loads(data)
        except (OSError, ValueError, zlib.error, gzip.BadGzipFile, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    # Files

    def segment(self, piece: Piece, table: str) -> Segment | None:
        """The segment of a table that a piece was sealed into, ``None`` if there is none or it is damaged."""
        path = piece.files.get(table)
        if path is None:
            return None
        segment = self._open(path)
        return segment if isinstance(segment, Segment) else None

    def _open(self, path: Path) -> Segment | Damage:
        if path not in self._segments:
            try:
                self._segments[path] = Segment(path)
            except FileNotFoundError:
                self.is_outdated = True
                return Damage(f"{path.parent.name}/{path.name}", 0, 0, "gone")
            except (OSError, PayloadError, ForeignError, NewerFormatError) as error:
                size = path.stat().st_size if path.exists() else 0
                self._segments[path] = Damage(f"{path.parent.name}/{path.name}", 0, size, str(error))
        return self._segments[path]

    def _small(self, name: str) -> dict[str, Any]:
        try:
            found = checked(read_small(self.folder / name))
        except (OSError, PayloadError):
            return {}
        version = found.get("format", 0)
        if not isinstance(version, int):
            return {}
        if version > FORMAT:
            raise NewerFormatError(f"format {version}")
        return found

    def _find_rows(self) -> dict[Group, list[dict[str, Any]]]:
        """From the last log; else from the file that sealing keeps; else names only, from the last segment."""
        found: dict[Group, list[dict[str, Any]]] = {group: [] for group in GROUPS}
        kept = self._small(ROWS_FILE).get("rows", {})
        for group in ROLLED:
            told = _named_rows(kept.get(group)) if isinstance(kept, dict) else []
            candidates: list[list[dict[str, Any]]] = [told]
            sealed = [piece for piece in self.pieces if piece.log is None]
            candidates += [piece.log.rows[group] for piece in self.pieces if piece.log is not None]
            for piece in sealed[-1:] if told else sealed:  # what was told, was told before the last one was sealed
                for level in (*LEVELS[::-1], 1):
                    segment = self.segment(piece, level_folder(group, level))
                    if segment is not None:
                        candidates.append([{"name": name} for name in segment.names])
                        break
            found[group] = max(candidates, key=len, default=[])
        return found


def _levels_of(group: Group) -> tuple[str, ...]:
    return tuple(level_folder(group, level) for level in (1, *LEVELS))


def _named_rows(told: Any) -> list[dict[str, Any]]:
    """Rows as a file of anybody has them: all of them have names, or they are none."""
    if not isinstance(told, list) or len(told) > MAX_ROWS:
        return []
    return told if all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in told) else []


def _starts(clock: Clock, level: int) -> NDArray[np.int64]:
    return np.flatnonzero(np.diff(clock.ordinal // level, prepend=-1))
