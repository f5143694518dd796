"""Frames of steps, as they go to the disk: the one thing that is written in the training's thread.

That thread has computed since the last step, so none of this is in the processor's caches: what counts is how few
different things are touched. Tables are handed on where they lie, and what stays the same from step to step is kept
(``docs/log.md`` has the figures).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from headwater.store.columns import GROUPS, Group
from headwater.store.frames import CHECKED, HEADER, MAGIC, Kind
from headwater.store.payloads import HAS_LOSS, STEP, Table

Pieces = Sequence[bytes | memoryview]

_CHANGING = struct.Struct("<Qqdd")  # number of the frame, step, time, loss
_CHANGING_AT = CHECKED.size - 8
_KIND = int(Kind.STEP)
_FLOAT64 = np.dtype(np.float64)
_NONE = {group: np.empty((0, len(columns))) for group, columns in GROUPS.items()}


class StepFrames:
    """Makes a frame after the other; the pieces of one are good until the next is made."""

    def __init__(self) -> None:
        self._kept_for: object = None
        self._front = bytearray(CHECKED.size + STEP.size)  # all that the checksum is over, up to the tables
        self._head_of_payload = memoryview(self._front)[CHECKED.size :]
        self._length = 0

    def pieces(
        self, number: int, step: int, time: float, loss: float | None, tables: Mapping[Group, Table]
    ) -> tuple[Pieces, int]:
        """A frame, to be written one piece behind the other.

        Args:
            number: Of the frame.
            step: Optimizer steps taken before.
            time: Seconds since 1970, UTC.
            loss: ``None`` if it was not told.
            tables: Rows by columns.

        Returns:
            The pieces, the tables themselves among them, and how many bytes they are together.
        """
        known = [tables.get(group, none) for group, none in _NONE.items()]
        kept_for = [table.shape for table in known], loss is None
        if kept_for != self._kept_for:
            self._keep(*kept_for)
        front = self._front
        _CHANGING.pack_into(front, _CHANGING_AT, number, step, time, math.nan if loss is None else loss)
        crc = zlib.crc32(front)
        pieces: list[bytes | memoryview] = [b"", self._head_of_payload]
        for table in known:
            if len(table):
                if table.dtype is not _FLOAT64 or not table.flags.c_contiguous:
                    table = np.ascontiguousarray(table, np.float64)
                pieces.append(table.data)
                crc = zlib.crc32(pieces[-1], crc)
        pieces[0] = HEADER.pack(MAGIC, _KIND, 0, self._length, crc, number)
        return pieces, HEADER.size + self._length

    def _keep(self, shapes: list[tuple[int, ...]], no_loss: bool) -> None:
        """What is the same for all steps with tables of these shapes."""
        rows, columns, *others = [size for shape in shapes for size in shape]
        self._length = STEP.size + sum(8 * rows * columns for rows, columns in shapes)
        CHECKED.pack_into(self._front, 0, _KIND, 0, self._length, 0)
        columns |= 0 if no_loss else HAS_LOSS
        STEP.pack_into(self._front, CHECKED.size, 0, 0.0, 0.0, rows, columns, *others)
        self._kept_for = shapes, no_loss
