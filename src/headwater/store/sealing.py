"""Turn a log that is full into Parquet. The log goes last: as long as it is there, readers go by it alone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.store.columns import COURSE, ROLLED, Group
from headwater.store.disk import Disk
from headwater.store.layout import LEVELS, QUARANTINE_FOLDER, folder_mode, level_folder, log_of, write_whole
from headwater.store.logfile import Damage, LogFile
from headwater.store.payloads import Table
from headwater.store.rollup import rolled_up
from headwater.store.segments import REDUCTIONS, Clock, cells, repeated, timestamps, write_segment

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
    for group in ROLLED:
        if log.rows[group] and len(clock):
            _seal_group(disk, folder, number, log, group, clock)
    _write(disk, folder / "steps", number, steps_table(log, clock), {"table": "steps"}, ["loss", *COURSE])
    if log.scalars:
        _write(disk, folder / "scalars", number, scalars_table(log.scalars), {"table": "scalars"}, ["value"])
    happened = [*log.events, *([end_event(log.end)] if log.end else [])]
    if happened:
        _write(disk, folder / "events", number, events_table(happened), {"table": "events"}, [])
    for damage in [*log.damage, *([log.tail] if log.tail else [])]:
        _quarantine(disk, path, damage)
    disk.unlink(path)
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

    rows = [(entry["step"], entry["time"], name, value) for entry in scalars for name, value in entry["values"].items()]
    steps, times, names, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "step": pa.array(steps, pa.int64()),
            "time": timestamps(np.array(times, np.float64)),
            "name": pa.array(names, pa.string()).dictionary_encode(),
            "value": pa.array(values, pa.float64()),
        }
    )


def events_table(events: list[dict[str, Any]]) -> pa.Table:
    """A row per event; its values as JSON."""
    import pyarrow as pa

    return pa.table(
        {
            "step": pa.array([event["step"] for event in events], pa.int64()),
            "time": timestamps(np.array([event["time"] for event in events], np.float64)),
            "id": pa.array([event["id"] for event in events], pa.string()),
            "values": pa.array([json.dumps(event["values"]) for event in events], pa.string()),
            "alarm": pa.array([event["alarm"] for event in events], pa.bool_()),
        }
    )


def end_event(end: dict[str, Any]) -> dict[str, Any]:
    """What was said at the end, as an event."""
    values = {"reason": str(end.get("reason", "")), "steps": end.get("steps", 0)}
    return {"step": 0, "time": float(end.get("time", 0.0)), "id": "event.end", "values": values, "alarm": False}


def _seal_group(disk: Disk, folder: Path, number: int, log: LogFile, group: Group, clock: Clock) -> None:
    names = [row["name"] for row in log.rows[group]]
    columns = log.columns[group]
    values = log.tables(group)  # steps, rows, columns
    by_row = np.moveaxis(values, 0, 1)
    _write_group(disk, folder, number, group, 1, names, clock, {c: by_row[..., i] for i, c in enumerate(columns)})
    for level in LEVELS:
        starts = np.flatnonzero(np.diff(clock.ordinal // level, prepend=-1))
        reduced = rolled_up(values, starts)
        numbers = {
            f"{column}.{how}": np.ascontiguousarray(reduced[how][..., place].T)
            for place, column in enumerate(columns)
            for how in REDUCTIONS
        }
        _write_group(disk, folder, number, group, level, names, clock.taken(starts), numbers)


def _write_group(
    disk: Disk,
    folder: Path,
    number: int,
    group: Group,
    level: int,
    names: list[str],
    clock: Clock,
    columns: dict[str, Table],
) -> None:
    table = group_table(group, names, clock, columns)
    facts = {"table": group, "level": level, "rows": names, "count": len(clock)}
    _write(disk, folder / level_folder(group, level), number, table, facts, list(columns))


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
        "site" if group == "sites" else "parameter": repeated(names, count),
        "ordinal": pa.array(np.tile(clock.ordinal, rows)),
        "step": pa.array(np.tile(clock.step, rows)),
        "number": pa.array(np.tile(clock.number, rows)),
        "time": timestamps(np.tile(clock.time, rows)),
    }
    return pa.table(data | {name: cells(values) for name, values in columns.items()})


def steps_table(log: LogFile, clock: Clock) -> pa.Table:
    """A row per recorded step."""
    import pyarrow as pa

    return pa.table(
        {
            "ordinal": pa.array(clock.ordinal),
            "step": pa.array(clock.step),
            "number": pa.array(clock.number),
            "time": timestamps(clock.time),
            "loss": pa.array([step.loss for step in log.steps], pa.float64()),
        }
        | {name: cells(log.column("course", name)) for name in COURSE}
    )


def _write(disk: Disk, folder: Path, number: int, table: pa.Table, facts: dict[str, Any], floats: list[str]) -> None:
    write_segment(disk, folder, number, table, {"format": 1, **facts}, floats)


def _remove_leftovers(disk: Disk, folder: Path, number: int) -> None:
    """Of a sealing that was interrupted."""
    for path in folder.glob(f"*/{number:06d}-*.parquet"):
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
