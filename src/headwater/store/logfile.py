"""A log as a reader sees it: whole frames, decoded, and what lies between them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.store.columns import GROUPS, Group
from headwater.store.frames import MAX_PAYLOAD, Damaged, Frame, Kind, scan
from headwater.store.layout import FORMAT, NewerFormatError
from headwater.store.payloads import (
    MAX_NAME,
    MAX_ROWS,
    PayloadError,
    Step,
    Table,
    entries,
    real,
    unpack_json,
    unpack_step,
    whole,
)

_MOST = 4 * MAX_PAYLOAD  # bytes read at once; a log of ours is sealed long before


@dataclass(frozen=True)
class Damage:
    """Bytes that could not be used.

    Attributes:
        file: Its path within the run.
        start: First byte.
        stop: Byte behind the last one.
        why: What is wrong with them.
    """

    file: str
    start: int
    stop: int
    why: str


@dataclass
class LogFile:
    """What was read of a log so far; :meth:`refresh` reads on.

    Attributes:
        steps: Recorded steps in the order they were written.
        numbers: Of their frames.
        rows: Per group, what is known of each row.
        columns: Per group, the names of the columns.
        scalars: ``step``, ``time``, ``values`` as they were recorded.
        events: ``step``, ``time``, ``id``, ``values``, ``alarm``; gaps among them.
        end: What was said at the end, ``None`` if nothing was.
        damage: Ranges of the file that hold no valid frame; one at the end may be a frame that is being written.
    """

    path: Path
    steps: list[Step] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    rows: dict[Group, list[dict[str, Any]]] = field(default_factory=lambda: no_rows())
    columns: dict[Group, tuple[str, ...]] = field(default_factory=lambda: dict(GROUPS))
    scalars: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    ordinal: int = 0
    damage: list[Damage] = field(default_factory=list)
    tail: Damage | None = None
    last_number: int = -1
    _read_to: int = 0

    def refresh(self) -> None:
        """Read what has been written since.

        Raises:
            OSError: If the file is gone or cannot be read.
            NewerFormatError: If a newer version has written it.
        """
        descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            if size <= self._read_to:
                return
            file.seek(self._read_to)
            data = memoryview(file.read(min(_MOST, size - self._read_to)))
        base, self.tail = self._read_to, None
        for piece in scan(data):
            if isinstance(piece, Frame):
                self._take(piece, base)
                self._read_to = base + piece.stop
            elif piece.stop == len(data) and base + piece.stop == size:
                # Zeros at the end are where frames are going to be; of one that was torn they are left out.
                told = len(bytes(data[piece.start :]).rstrip(b"\0"))
                self.tail = (
                    Damage(self.path.name, base + piece.start, base + piece.start + told, "torn") if told else None
                )
            else:
                self.damage.append(Damage(self.path.name, base + piece.start, base + piece.stop, "checksum"))

    def tables(self, group: Group) -> Table:
        """All steps' tables as one array, steps by rows by columns."""
        rows, columns = len(self.rows[group]), len(self.columns[group])
        out = np.full((len(self.steps), rows, columns), np.nan)
        for index, step in enumerate(self.steps):
            table = step.tables[group]
            out[index, : len(table)] = table[:rows]
        return out

    def column(self, group: Group, name: str) -> Table:
        """One column, rows by steps."""
        rows = len(self.rows[group])
        out = np.full((rows, len(self.steps)), np.nan)
        if name in self.columns[group]:
            place = self.columns[group].index(name)
            for index, step in enumerate(self.steps):
                table = step.tables[group]
                out[: len(table), index] = table[:rows, place]
        return out

    def losses(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The loss of each step, and whether it was told at all: one that was told may be NaN."""
        told = [step.loss is not None for step in self.steps]
        values = [math.nan if step.loss is None else step.loss for step in self.steps]
        return np.array(values, np.float64), np.array(told, bool)

    def step_numbers(self) -> NDArray[np.int64]:
        return np.array([step.step for step in self.steps], np.int64)

    def _take(self, frame: Frame, base: int) -> None:
        try:
            self._enter(frame)
        except (PayloadError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, NewerFormatError):
                raise
            self.damage.append(Damage(self.path.name, base + frame.start, base + frame.stop, f"payload: {error}"))
        self.last_number = max(self.last_number, frame.number)

    def _enter(self, frame: Frame) -> None:
        if frame.kind == Kind.STEP:
            step = unpack_step(frame.payload)
            for group, table in step.tables.items():
                if len(table) and table.shape[1] != len(self.columns[group]):
                    raise PayloadError(f"{table.shape[1]} columns of {len(self.columns[group])}")
                self._name_at_least(group, len(table))
            self.steps.append(step)
            self.numbers.append(frame.number)
        elif frame.kind == Kind.SCALARS:
            self.scalars.append(_scalars(unpack_json(frame.payload)))
        elif frame.kind == Kind.EVENT:
            self.events.append(_event(unpack_json(frame.payload)))
        elif frame.kind == Kind.GAP:
            gap = unpack_json(frame.payload)
            values = {key: gap.get(key) for key in ("steps", "frames", "first_step", "last_step", "why")}
            first = gap.get("first_step")
            self.events.append(
                _event({"step": first or 0, "time": gap["time"], "id": "event.gap", "values": values, "alarm": False})
            )
        elif frame.kind == Kind.SCHEMA:
            self._enter_rows(unpack_json(frame.payload))
        elif frame.kind == Kind.FILE:
            self._enter_head(unpack_json(frame.payload))
        elif frame.kind == Kind.END:
            self.end = _end(unpack_json(frame.payload))

    def _name_at_least(self, group: Group, count: int) -> None:
        """Rows whose names were in a frame that is damaged have a number for one."""
        known = self.rows[group]
        known.extend({"name": f"?{place}"} for place in range(len(known), count))

    def _enter_head(self, head: dict[str, Any]) -> None:
        if whole(head["format"]) > FORMAT:
            raise NewerFormatError(f"format {head['format']}")
        self.ordinal = whole(head["ordinal"])
        for group in GROUPS:
            columns = entries(head["columns"]).get(group)
            if isinstance(columns, list) and not self.steps:  # else steps would not have the columns that they had
                self.columns[group] = tuple(str(name)[:MAX_NAME] for name in columns)

    def _enter_rows(self, schema: dict[str, Any]) -> None:
        group, first, rows = schema["group"], whole(schema["first"]), schema["rows"]
        if not isinstance(group, str) or group not in GROUPS:
            return  # of a newer version
        known = self.rows[group]
        if not isinstance(rows, list) or not 0 <= first <= MAX_ROWS or first + len(rows) > MAX_ROWS:
            raise PayloadError("more rows than a run holds")
        self._name_at_least(group, first)
        for offset, row in enumerate(rows):
            if not isinstance(row, dict) or not isinstance(row.get("name"), str):
                raise PayloadError("a row without a name")
            if len(row["name"].encode("utf-8", "surrogatepass")) > MAX_NAME:
                row["name"] = row["name"].encode("utf-8", "surrogatepass")[:MAX_NAME].decode("utf-8", "ignore")
            known[first + offset : first + offset + 1] = [row]


def no_rows() -> dict[Group, list[dict[str, Any]]]:
    """Of a start that has not told any; the course has its only one from the beginning."""
    return {"sites": [], "parameters": [], "course": [{"name": "all"}]}


def _scalars(data: dict[str, Any]) -> dict[str, Any]:
    values = {str(name): real(value) for name, value in entries(data["values"]).items()}
    return {"step": whole(data["step"]), "time": real(data["time"]), "values": values}


def _event(data: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(data["id"], str):
        raise PayloadError("an event without a name")
    return {
        "step": whole(data["step"]),
        "time": real(data["time"]),
        "id": data["id"],
        "values": entries(data["values"]),
        "alarm": bool(data["alarm"]),
    }


def _end(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "time": real(data.get("time", 0.0)), "steps": whole(data.get("steps", 0))}


__all__ = ["Damage", "Damaged", "LogFile", "NewerFormatError"]
