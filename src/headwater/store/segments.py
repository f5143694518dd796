"""Parquet segments: tables that pandas, polars and DuckDB read without us.

A segment of sites has a row per site and recorded step, all steps of a site together; unmeasured is null. A rollup has
a row per site and 16, 256 or 4,096 recorded steps, with minimum, maximum, mean and last of each statistic.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headwater.store.arrow import integers, numbers
from headwater.store.columns import GROUPS
from headwater.store.disk import Disk
from headwater.store.layout import FORMAT, NewerFormatError, SegmentName, folder_mode, segment_of, write_whole
from headwater.store.payloads import MAX_ROWS, PayloadError, Table

if TYPE_CHECKING:
    import pyarrow as pa

REDUCTIONS = ("min", "max", "mean", "last")
KEY = b"headwater"
_NUMBERS = frozenset(name for columns in GROUPS.values() for name in columns) | {"loss", "value"}
_SMALL = 1 << 20  # bytes up to which a file's are kept
_MAX_BYTES = 1 << 30  # of one file; ours have a tenth
_MAX_CELLS = 1 << 25  # of one column: 256 MiB, before they are allocated


class ForeignError(ValueError):
    """Parquet that another program has written."""


@dataclass(frozen=True)
class Clock:
    """When the steps of a segment, or the first ones of a rollup's rows, were recorded.

    Attributes:
        ordinal: How many steps this process start had recorded before.
        step: Optimizer steps taken before.
        number: Of the frame.
        time: Seconds since 1970, UTC.
    """

    ordinal: NDArray[np.int64]
    step: NDArray[np.int64]
    number: NDArray[np.int64]
    time: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.step)

    def taken(self, places: Any) -> Clock:
        """Those at the places."""
        return Clock(self.ordinal[places], self.step[places], self.number[places], self.time[places])

    def later(self, steps: int) -> Clock:
        """The same behind so many recorded steps of earlier starts."""
        return replace(self, ordinal=self.ordinal + steps)

    @staticmethod
    def joined(parts: Sequence[Clock]) -> Clock:
        """One after the other."""
        if not parts:
            empty = np.empty(0, np.int64)
            return Clock(empty, empty, empty, np.empty(0))
        return Clock(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("ordinal", "step", "number", "time")))


def write_segment(
    disk: Disk, folder: Path, logs: tuple[int, int], table: pa.Table, facts: dict[str, Any], floats: list[str]
) -> Path:
    """Write a table as one segment, in one piece.

    Args:
        disk: Makes the calls.
        folder: Of the table and level; made if it is not there.
        logs: Numbers of the first and the last log whose rows it has.
        table: With ordinary columns.
        facts: Kept beside the schema.
        floats: Columns of float64, whose bytes are stored plane by plane.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not folder.is_dir():
        disk.mkdir(folder, folder_mode())
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: json.dumps(facts)}),
        sink,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in floats],
        use_byte_stream_split=floats,
        write_page_checksum=True,
        write_statistics=[name for name in table.column_names if name not in floats],
        row_group_size=max(1, table.num_rows),
    )
    data = memoryview(sink.getvalue())
    path = folder / str(SegmentName(*logs, zlib.crc32(data)))
    write_whole(disk, path, data)
    return path


def _fits(field: pa.Field) -> bool:
    """Whether a column has the type that ours have; of one that we do not know any type will do."""
    import pyarrow as pa

    if field.name in ("ordinal", "step", "number"):
        return field.type == pa.int64()
    if field.name == "time":
        return field.type == pa.timestamp("us", tz="UTC")
    return field.name.partition(".")[0] not in _NUMBERS or field.type == pa.float64()


class LogPart(NamedTuple):
    """What a segment has of a log: how many rows per site, and how many recorded steps those speak for."""

    number: int
    rows: int
    steps: int


class Segment:
    """One sealed file; its checksum is compared when it is first opened. Large ones are read from the disk each time.

    Args:
        path: Of the file, named as ours are.

    Raises:
        OSError: If it cannot be read.
        PayloadError: If its bytes are not those that were written.
        ForeignError: If ours never wrote it.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        named = segment_of(path.name)
        if named is None:
            raise ForeignError(path.name)
        self.path = path
        crc = named.crc
        size = path.stat().st_size
        if size > _MAX_BYTES or path.is_symlink():
            raise PayloadError(f"larger than {_MAX_BYTES:,} bytes, or a link")
        self._small = path.read_bytes() if size <= _SMALL else None
        if (zlib.crc32(self._small) if self._small is not None else _checksum(path)) != crc:
            raise PayloadError("its checksum does not fit its name")
        try:
            self._kept = self._open()
            self.facts: dict[str, Any] = json.loads(self._kept.schema_arrow.metadata[KEY])
            self.names: list[str] = [str(name) for name in self.facts.get("rows", ())]
            self.count = int(self.facts.get("count", 0))
            version = int(self.facts["format"])
            self.logs = [LogPart(*map(int, entry)) for entry in self.facts.get("logs", ())]
            misfit = next((field for field in self._kept.schema_arrow if not _fits(field)), None)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ForeignError(f"another program's Parquet: {error}") from error
        if misfit is not None:
            raise PayloadError(f"column {misfit.name} is of type {misfit.type}")
        if version > FORMAT:
            raise NewerFormatError(f"format {version}")
        self.columns = tuple(self._kept.schema_arrow.names)
        self.rows: int = self._kept.metadata.num_rows
        if len(self.names) > MAX_ROWS or self.rows > _MAX_CELLS:
            raise PayloadError(f"{self.rows} rows of {len(self.names)} sites")
        if self.names and self.rows != len(self.names) * self.count:
            raise PayloadError(f"{self.rows} rows of {len(self.names)} sites and {self.count} steps")
        if self.logs and (min(self.logs)[1] < 0 or sum(part.rows for part in self.logs) != self.count):
            raise PayloadError(f"{self.count} steps that its logs do not add up to")
        if self._small is None:
            self._kept.close()

    @cached_property
    def clock(self) -> Clock:
        """Of its steps."""
        table = self._read(["ordinal", "step", "number", "time"])
        count = self.count if self.names else table.num_rows
        table = table.slice(0, count)
        ordinal, step, number = (integers(table[name]) for name in table.column_names[:3])
        return Clock(ordinal, step, number, integers(table["time"]) / 1e6)

    def column(self, name: str) -> Table:
        """One column, rows by steps; NaN for null."""
        if name not in self.columns:
            return np.full((len(self.names), self.count), np.nan)
        return numbers(self._read([name])[name]).reshape(len(self.names), self.count)

    def part(self, log: int) -> slice:
        """Which of its steps come from a log; all, where it has only those of one."""
        if not self.logs:
            return slice(None)
        before = 0
        for part in self.logs:
            if part.number == log:
                return slice(before, before + part.rows)
            before += part.rows
        return slice(0, 0)

    def steps_of(self, log: int) -> int | None:
        """How many recorded steps of a log it speaks for, ``None`` if it does not say."""
        return next((part.steps for part in self.logs if part.number == log), None)

    def table(self) -> pa.Table:
        """All of it."""
        return self._read(None)

    def _read(self, columns: list[str] | None) -> pa.Table:
        file = self._kept if self._small is not None else self._open()
        try:
            return file.read(columns, use_threads=False)
        finally:
            if self._small is None:
                file.close()

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = pa.BufferReader(self._small) if self._small is not None else str(self.path)
        return pq.ParquetFile(source, page_checksum_verification=True)


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            crc = zlib.crc32(data, crc)
    return crc
