"""A run as a file of events that TensorBoard reads, written without it: its format is a few lines.

Source:
    TFRecord: tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details"; messages:
    tensorboard/compat/proto/event.proto and summary.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from headwater.recorded.run import Run

_POINTS = 1000  # per curve; TensorBoard itself shows no more of a scalar
_MASK = 0xA282EAD8
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types of protobuf


def write_events(run: Run, out: Path, progress: Callable[[str, int, int], None] | None = None) -> Path:
    """Write the curves of all sites and scalars as one file.

    Args:
        run: Opened.
        out: A folder.
        progress: ``progress("progress.export", done, total)`` after each statistic.

    Returns:
        The file.

    Raises:
        FileExistsError: If there is such a file already.
    """
    first = min((curve.times[0] for curve in run.course().values() if len(curve.times)), default=0.0)
    path = out / f"events.out.tfevents.{int(first)}.headwater"
    steps: dict[int, list[bytes]] = {}
    times: dict[int, float] = {}
    for done, statistic in enumerate(run.statistics, 1):
        points, values = run.read(statistic, max_points=_POINTS)
        seconds, _ = run.read(statistic, sites=[], max_points=_POINTS, axis="time")
        tags = [_tag(f"{statistic}/{name}") for name in run.site_names]
        for column, (step, second) in enumerate(zip(points.tolist(), seconds.tolist(), strict=True)):
            known = np.flatnonzero(~np.isnan(values[:, column]))
            times.setdefault(step, second)
            steps.setdefault(step, []).extend(_value(tags[row], float(values[row, column])) for row in known)
        if progress is not None:
            progress("progress.export", done, len(run.statistics))
    for name, curve in run.scalars().items():
        tag = _tag(name)
        for step, second, value in zip(curve.steps.tolist(), curve.times.tolist(), curve.values.tolist(), strict=True):
            times.setdefault(step, second)
            steps.setdefault(step, []).append(_value(tag, value))
    with path.open("xb") as file:
        _record(file, _double(1, first) + _bytes(3, b"brain.Event:2"))
        for step in sorted(steps):
            _record(file, _double(1, times[step]) + _varint_field(2, step) + _bytes(5, b"".join(steps[step])))
    return path


def _tag(name: str) -> bytes:
    return _bytes(1, name.encode("utf-8", "replace"))


def _value(tag: bytes, value: float) -> bytes:
    """One ``Summary.Value`` in its ``Summary``."""
    with np.errstate(over="ignore"):
        number = struct.pack("<f", float(np.float32(value)))
    return _bytes(1, tag + _key(2, _FLOAT) + number)


def _record(file: IO[bytes], data: bytes) -> None:
    length = struct.pack("<Q", len(data))
    file.write(length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data)))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint_field(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value & (1 << 64) - 1)


def _double(field: int, value: float) -> bytes:
    return _key(field, _DOUBLE) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _masked(data: bytes) -> int:
    crc = int(_crc32c()(np.frombuffer(data, np.uint8)))
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@cache
def _crc32c() -> Any:
    """CRC-32C (Castagnoli), byte by byte in compiled code: in Python, a megabyte would take half a second."""
    import numba

    table = np.zeros(256, np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table[byte] = crc

    @numba.njit(cache=False)
    def checksum(data: Any) -> Any:
        crc = np.uint32(0xFFFFFFFF)
        for byte in data:
            crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
        return crc ^ np.uint32(0xFFFFFFFF)

    return checksum
