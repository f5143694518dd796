"""What frames hold, as bytes and back."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.store.columns import GROUPS, Group

Table = NDArray[np.float64]

STEP = struct.Struct("<qdd6I")  # step, time, loss, then rows and columns of the tables
HAS_LOSS = 1 << 31  # beside the number of columns of the first table
MAX_ROWS = 100_000
MAX_NAME = 512  # bytes
MAX_DEPTH = 32
_MAX_COLUMNS = 256
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class PayloadError(ValueError):
    """A valid frame that holds what no version of ours would write."""


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step.

    Attributes:
        step: Optimizer steps taken before.
        time: Seconds since 1970, UTC.
        loss: ``None`` if it was not told.
        tables: Per group, rows by columns; NaN where something was not measured.
    """

    step: int
    time: float
    loss: float | None
    tables: dict[Group, Table]


def step_size(rows: dict[Group, int]) -> int:
    """Bytes of a recorded step's payload."""
    return STEP.size + sum(8 * rows[group] * len(columns) for group, columns in GROUPS.items())


def unpack_step(payload: memoryview) -> Step:
    """A recorded step; its tables are copies.

    Raises:
        PayloadError: If the sizes it claims are not its own.
    """
    if len(payload) < STEP.size:
        raise PayloadError("a step without its head")
    step, time, loss, *shapes = STEP.unpack_from(payload)
    has_loss, shapes[1] = shapes[1] & HAS_LOSS, shapes[1] & ~HAS_LOSS
    tables: dict[Group, Table] = {}
    place = STEP.size
    for group, rows, columns in zip(GROUPS, shapes[::2], shapes[1::2], strict=True):
        size = 8 * rows * columns
        if rows > MAX_ROWS or columns > _MAX_COLUMNS or size > len(payload) - place:
            raise PayloadError(f"a table of {rows} by {columns} in {len(payload) - place} bytes")
        tables[group] = np.frombuffer(payload, np.float64, rows * columns, place).reshape(rows, columns).copy()
        place += size
    return Step(step, time, loss if has_loss else None, tables)


def pack_json(data: dict[str, Any]) -> bytes:
    """JSON, strict: non-finite numbers have been given names before."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii")


def unpack_json(payload: memoryview | bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PayloadError: If it is none, or nested deeper than ours ever are.
    """
    try:
        text = bytes(payload).decode()
        if _depth(text) > MAX_DEPTH:
            raise PayloadError(f"JSON nested deeper than {MAX_DEPTH}")
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"no JSON: {error}") from error
    if not isinstance(data, dict):
        raise PayloadError("JSON that is no object")
    return data


def whole(value: Any) -> int:
    """A whole number that 64 bits hold.

    Raises:
        PayloadError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -(2**63) <= value < 2**63:
        raise PayloadError(f"{_short(value)} where a whole number should be")
    return int(value)


def real(value: Any) -> float:
    """A number, which may be NaN or Inf; those travel by name.

    Raises:
        PayloadError: If it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PayloadError(f"{_short(value)} where a number should be") from error


def entries(value: Any) -> dict[str, Any]:
    """A JSON object within another.

    Raises:
        PayloadError: If it is none.
    """
    if not isinstance(value, dict):
        raise PayloadError(f"{_short(value)} where an object should be")
    return value


def _short(value: Any) -> str:
    return type(value).__name__ if not isinstance(value, (float, str)) else repr(value)[:40]


def _depth(text: str) -> int:
    """How deep brackets are nested: a bound before anything is built."""
    letters = np.frombuffer(_STRINGS.sub("", text).encode("ascii", "replace"), np.uint8)
    rises = np.isin(letters, (ord("["), ord("{"))).astype(np.int64) - np.isin(letters, (ord("]"), ord("}")))
    return int(np.cumsum(rises).max(initial=0))
