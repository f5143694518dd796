"""Turn a log that is full into Parquet. The log goes last: as long as it is there, readers go by it alone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.store.arrow import booleans, cells, counted, repeated, texts, timestamps
from headwater.store.columns import COURSE, ROLLED, Group
from headwater.store.disk import Disk
from headwater.store.gathering import Rows, gathered
from headwater.store.layout import (
    GATHERED,
    LEVELS,
    QUARANTINE_FOLDER,
    folder_mode,
    level_folder,
    log_of,
    write_whole,
)
from headwater.store.logfile import Damage, LogFile
from headwater.store.payloads import Table
from headwater.store.rollup import rolled_up
from headwater.store.scalars import scalars_of
from headwater.store.segments import REDUCTIONS, Clock, LogPart, write_segment

if TYPE_CHECKING:
    import pyarrow as pa


def seal(disk: Disk, path: Path) -> None:
    """Write a log's steps, scalars and events as segments with rollups, and remove it.

    Raises:
        OSError: If the disk does not take them; the log is still there then.
    """
    number = log_of(path.name)
    assert number is not None, path
    log = LogFile(path)
    log.refresh()
    folder = path.parent
    _remove_leftovers(disk, folder, number)
    clock = clock_of(log)
    outgrown: list[Path] = []
    for group in ROLLED:
        if log.rows[group] and len(clock):
            outgrown += _seal_group(disk, folder, number, log, group, clock)
    _write(disk, folder / "steps", number, steps_table(log, clock), {"table": "steps"}, ["loss", *COURSE])
    if log.scalars:
        _write(disk, folder / "scalars", number, scalars_table(log.scalars), {"table": "scalars"}, ["value"])
    happened = [*log.events, *([end_event(log.end)] if log.end else [])]
    if happened:
        _write(disk, folder / "events", number, events_table(happened), {"table": "events"}, [])
    for damage in [*log.damage, *([log.tail] if log.tail else [])]:
        _quarantine(disk, path, damage)
    disk.unlink(path)
    for file in outgrown:
        with suppress(OSError):
            disk.unlink(file)
    disk.sync_folder(folder)


def clock_of(log: LogFile) -> Clock:
    """When a log's steps were recorded."""
    return Clock(
        np.arange(log.ordinal, log.ordinal + len(log.steps), dtype=np.int64),
        log.step_numbers(),
        np.array(log.numbers, np.int64),
        np.array([step.time for step in log.steps], np.float64),
    )


def scalars_table(scalars: list[dict[str, Any]]) -> pa.Table:
    """A row per number."""
    import pyarrow as pa

    told = scalars_of(scalars)
    return pa.table(
        {
            "step": counted(told.steps),
            "time": timestamps(told.times),
            "name": repeated(told.names, told.codes),
            "value": cells(told.values, np.ones(len(told), bool)),  # one that was logged as NaN is NaN
        }
    )


def events_table(events: list[dict[str, Any]]) -> pa.Table:
    """A row per event; its values as JSON."""
    import pyarrow as pa

    return pa.table(
        {
            "step": counted(np.array([event["step"] for event in events], np.int64)),
            "time": timestamps(np.array([event["time"] for event in events], np.float64)),
            "id": texts([event["id"] for event in events]),
            "values": texts([json.dumps(event["values"]) for event in events]),
            "alarm": booleans([event["alarm"] for event in events]),
        }
    )


def end_event(end: dict[str, Any]) -> dict[str, Any]:
    """What was said at the end, as an event."""
    values = {"reason": str(end.get("reason", "")), "steps": end.get("steps", 0)}
    return {"step": 0, "time": float(end.get("time", 0.0)), "id": "event.end", "values": values, "alarm": False}


def _seal_group(disk: Disk, folder: Path, number: int, log: LogFile, group: Group, clock: Clock) -> list[Path]:
    """Write one log's steps and rollups; gives the files whose rows have gone into larger ones."""
    names = [row["name"] for row in log.rows[group]]
    columns = log.columns[group]
    values = log.tables(group)  # steps, rows, columns
    by_row = np.moveaxis(values, 0, 1)
    part = LogPart(number, len(clock), len(clock))
    single = Rows(names, clock, {column: by_row[..., place] for place, column in enumerate(columns)}, [part])
    write_rows(disk, folder, group, 1, single)
    outgrown: list[Path] = []
    for level in LEVELS:
        starts = np.flatnonzero(np.diff(clock.ordinal // level, prepend=-1))
        reduced = rolled_up(values, starts)
        rollups = {
            f"{column}.{how}": np.ascontiguousarray(reduced[how][..., place].T)
            for place, column in enumerate(columns)
            for how in REDUCTIONS
        }
        rows = Rows(names, clock.taken(starts), rollups, [part._replace(rows=len(starts))])
        if level in GATHERED:
            rows, gone = gathered(folder / level_folder(group, level), rows)
            outgrown += gone
        write_rows(disk, folder, group, level, rows)
    return outgrown


def write_rows(disk: Disk, folder: Path, group: Group, level: int, rows: Rows) -> None:
    """Write rows of sites, or parameters, as one segment."""
    table = group_table(group, rows.names, rows.clock, rows.columns)
    parts = [list(part) for part in rows.parts]
    facts = {"format": 1, "table": group, "level": level, "rows": rows.names, "count": len(rows.clock), "logs": parts}
    logs = rows.parts[0].number, rows.parts[-1].number
    write_segment(disk, folder / level_folder(group, level), logs, table, facts, list(rows.columns))


def group_table(group: Group, names: list[str], clock: Clock, columns: dict[str, Table]) -> pa.Table:
    """A row per site, or parameter, and step.

    Args:
        group: Which of the two.
        names: Of the rows.
        clock: Of the steps.
        columns: Rows by steps.
    """
    import pyarrow as pa

    count, rows = len(clock), len(names)
    data: dict[str, Any] = {
        "site" if group == "sites" else "parameter": repeated(names, np.repeat(np.arange(rows), count)),
        "ordinal": counted(np.tile(clock.ordinal, rows)),
        "step": counted(np.tile(clock.step, rows)),
        "number": counted(np.tile(clock.number, rows)),
        "time": timestamps(np.tile(clock.time, rows)),
    }
    return pa.table(data | {name: cells(values) for name, values in columns.items()})


def steps_table(log: LogFile, clock: Clock) -> pa.Table:
    """A row per recorded step."""
    import pyarrow as pa

    return pa.table(
        {
            "ordinal": counted(clock.ordinal),
            "step": counted(clock.step),
            "number": counted(clock.number),
            "time": timestamps(clock.time),
            "loss": cells(*log.losses()),
        }
        | {name: cells(log.column("course", name)) for name in COURSE}
    )


def _write(disk: Disk, folder: Path, number: int, table: pa.Table, facts: dict[str, Any], floats: list[str]) -> None:
    write_segment(disk, folder, (number, number), table, {"format": 1, **facts}, floats)


def _remove_leftovers(disk: Disk, folder: Path, number: int) -> None:
    """Of a sealing that was interrupted."""
    for path in (*folder.glob(f"*/{number:06d}-*.parquet"), *folder.glob(f"*/*-{number:06d}-*.parquet")):
        with suppress(FileNotFoundError):
            disk.unlink(path)


def _quarantine(disk: Disk, path: Path, damage: Damage) -> None:
    """Keep bytes that are no frame; who knows what is in them."""
    folder = path.parent / QUARANTINE_FOLDER
    with suppress(FileExistsError):
        disk.mkdir(folder, folder_mode())
    with path.open("rb") as file:
        file.seek(damage.start)
        data = file.read(damage.stop - damage.start)
    write_whole(disk, folder / f"{path.name}.{damage.start}-{damage.stop}", data)
