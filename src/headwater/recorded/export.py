"""A run for other programs: Parquet, CSV, JSON lines, or events for TensorBoard."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

from headwater.recorded.run import Run
from headwater.records import InputError
from headwater.store.whole import KINDS, Kind, column_names, tables

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "csv", "jsonl", "tensorboard"]
FORMATS: tuple[Format, ...] = get_args(Format)
Progress = Callable[[str, int, int], None]

_ROWS = 1 << 16  # of a table written at once
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for one


def export(run: Run, to: Format, out: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Write a run's tables into a folder.

    Args:
        run: Opened.
        to: ``parquet``, ``csv`` or ``jsonl``: a file each for sites, parameters, steps, scalars and events;
            ``tensorboard``: one file of events, with at most 1,000 points per curve, which is what TensorBoard shows.
        out: The folder; made if it is not there.
        progress: ``progress("progress.export", done, total)`` after each table.

    Returns:
        The files.

    Raises:
        InputError: If the folder cannot be written to, or holds such files already.
    """
    if to not in FORMATS:
        raise InputError(f"to={to!r} is none of {', '.join(FORMATS)}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if to == "tensorboard":
            from headwater.recorded.tensorboard import write_events

            return (write_events(run, out, progress),)
        return _tables(run, to, out, progress)
    except FileExistsError as error:
        raise InputError(f"{error.filename} is there already: name another folder with --out.") from error
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}.") from error


def _tables(run: Run, to: Format, out: Path, progress: Progress | None) -> tuple[Path, ...]:
    write = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}[to]
    for kind in KINDS:
        if (out / f"{kind}.{to}").exists():
            raise FileExistsError(17, "File exists", str(out / f"{kind}.{to}"))
    written: list[Path] = []
    for kind in KINDS:
        target = out / f"{kind}.{to}"
        beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            write(run, kind, beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        written.append(target)
        if progress is not None:
            progress("progress.export", len(written), len(KINDS))
    return tuple(written)


def _parquet(run: Run, kind: Kind, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    try:
        for table in tables(run, kind):
            plain = _plain(table)
            if writer is None:
                writer = pq.ParquetWriter(path, plain.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(plain.select(writer.schema.names).cast(writer.schema))
        if writer is None:
            pq.write_table(
                pa.table({name: pa.array([], pa.float64()) for name in column_names(kind, run.is_merged)}), path
            )
    finally:
        if writer is not None:
            writer.close()


def _plain(table: pa.Table) -> pa.Table:
    """Names as plain strings: dictionaries differ from part to part."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
    return table


def _csv(run: Run, kind: Kind, path: Path) -> None:
    import csv

    with path.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(column_names(kind, run.is_merged))
        for names, rows in _rows(run, kind):
            if names != column_names(kind, run.is_merged):  # a version with other columns: in our order
                places = [names.index(name) if name in names else None for name in column_names(kind, run.is_merged)]
                rows = ([None if place is None else row[place] for place in places] for row in rows)
            writer.writerows([_cell(value) for value in row] for row in rows)


def _json_lines(run: Run, kind: Kind, path: Path) -> None:
    with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
        for names, rows in _rows(run, kind):
            for row in rows:
                _line(file, {name: _json(value) for name, value in zip(names, row, strict=True) if value is not None})


def _line(file: IO[str], data: dict[str, Any]) -> None:
    if "values" in data:
        data["values"] = json.loads(data["values"])
    file.write(json.dumps(data, allow_nan=False, ensure_ascii=True, separators=(",", ":")) + "\n")


def _rows(run: Run, kind: Kind) -> Iterator[tuple[list[str], Iterator[Any]]]:
    """Rows as plain values, a few ten thousand at a time; null as ``None``, times as seconds since 1970."""
    for table in tables(run, kind):
        for begin in range(0, table.num_rows, _ROWS):
            part = _plain(table.slice(begin, _ROWS))
            columns = [
                [value / 1e6 for value in part[name].cast("int64").to_pylist()]
                if name == "time"
                else part[name].to_pylist()
                for name in part.column_names
            ]
            yield part.column_names, iter(zip(*columns, strict=True))


def _cell(value: Any) -> Any:
    """A cell that a spreadsheet does not take for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
