"""Frames: what a log is made of. A length, a checksum over header and payload, and the payload.

A frame is valid or it is not there: a torn, zero-filled or flipped one fails its checksum, and scanning goes on at the
next valid frame behind it. The checksum finds accidents, not forgery.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"\x89HWf"
HEADER = struct.Struct("<4sHHIIQ")  # magic, kind, zero, length of the payload, CRC-32, number
CHECKED = struct.Struct("<HHIQ")  # of the header, what the checksum is over
MAX_PAYLOAD = 64 << 20
"""Bytes. A header that claims more is taken for damage before anything is allocated."""


class Kind(IntEnum):
    """What a frame holds; a reader passes over kinds that it does not know."""

    FILE = 1
    SCHEMA = 2
    STEP = 3
    SCALARS = 4
    EVENT = 5
    GAP = 6
    END = 7


@dataclass(frozen=True, slots=True)
class Frame:
    """One valid frame.

    Attributes:
        kind: A :class:`Kind`, or the number of one from a newer version.
        number: Counts the frames of a process start, from 0.
        payload: What it holds.
        start: Where in the file it begins.
    """

    kind: int
    number: int
    payload: memoryview
    start: int

    @property
    def stop(self) -> int:
        return self.start + HEADER.size + len(self.payload)


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes between valid frames, or behind the last one, that are no frame."""

    start: int
    stop: int


def checksum(kind: int, number: int, payload: bytes | bytearray | memoryview) -> int:
    """CRC-32 of a frame's header and payload."""
    return zlib.crc32(payload, zlib.crc32(CHECKED.pack(kind, 0, len(payload), number)))


def header(kind: int, number: int, payload: bytes) -> bytes:
    """The bytes in front of a payload."""
    return HEADER.pack(MAGIC, kind, 0, len(payload), checksum(kind, number, payload), number)


def packed(kind: int, number: int, payload: bytes) -> bytes:
    """A whole frame.

    Raises:
        ValueError: If the payload is larger than a reader would take.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame holds at most {MAX_PAYLOAD:,} bytes, got {len(payload):,}.")
    return header(kind, number, payload) + payload


def scan(data: memoryview, start: int = 0) -> Iterator[Frame | Damaged]:
    """Valid frames in order, and between them what is none.

    Args:
        data: A file's bytes.
        start: Where to begin: 0, or the end of a frame.
    """
    place, bad = start, None
    while place < len(data):
        frame = _frame_at(data, place)
        if frame is None:
            bad = place if bad is None else bad
            place = _next_magic(data, place + 1)
            continue
        if bad is not None:
            yield Damaged(bad, place)
            bad = None
        yield frame
        place = frame.stop
    if bad is not None:
        yield Damaged(bad, len(data))


def _frame_at(data: memoryview, place: int) -> Frame | None:
    if len(data) - place < HEADER.size:
        return None
    magic, kind, zero, length, crc, number = HEADER.unpack_from(data, place)
    if magic != MAGIC or zero or length > MAX_PAYLOAD or length > len(data) - place - HEADER.size:
        return None
    payload = data[place + HEADER.size : place + HEADER.size + length]
    return Frame(kind, number, payload, place) if checksum(kind, number, payload) == crc else None


def _next_magic(data: memoryview, start: int) -> int:
    """Where the next frame might begin; the end of the data if nowhere."""
    step = 1 << 20
    for place in range(start, len(data), step):
        found = bytes(data[place : place + step + len(MAGIC) - 1]).find(MAGIC)
        if found >= 0:
            return place + found
    return len(data)
