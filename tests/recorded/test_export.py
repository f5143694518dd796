"""What other programs get of a run is what the run holds, whether it ended, was killed or made room."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest

import headwater as hw
from headwater.recorded.export import export
from headwater.recorded.tensorboard import _crc32c
from headwater.records import InputError
from tests.store.recording import PARAMETERS, SITES, begun, expected, kill, record, small_logs


@pytest.fixture(params=["ended", "killed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> hw.Run:
    with small_logs(8):
        first = begun(tmp_path / "a")
        record(first, range(10))
        first.scalars(3, {"val_loss": 0.5, "=HYPERLINK()": float("nan")})
        first.event(4, "event.nonfinite", {"elements": 2}, is_alarm=True)
        first.close()
        second = begun(tmp_path / "a")
        record(second, range(10, 20))
        kill(second) if request.param == "killed" else second.close()
    return hw.open_run(tmp_path / "a")


TOTAL = sum(expected(step, row) for step in range(20) for row in range(len(SITES)))


def test_parquet(run: hw.Run, tmp_path: Path) -> None:
    files = export(run, "parquet", tmp_path / "out")
    assert [file.name for file in files] == [
        f"{k}.parquet" for k in ("sites", "parameters", "steps", "scalars", "events")
    ]
    sites = pandas.read_parquet(tmp_path / "out" / "sites.parquet")
    assert (len(sites), sites["activation_rms"].sum()) == (60, TOTAL)
    assert sorted(set(zip(sites["start"], sites["step"], strict=True))) == [
        (1 + (step >= 10), step) for step in range(20)
    ]
    assert len(pandas.read_parquet(tmp_path / "out" / "parameters.parquet")) == 20 * len(PARAMETERS)
    assert pandas.read_parquet(tmp_path / "out" / "steps.parquet")["loss"].tolist() == [1 / (s + 1) for s in range(20)]
    events = pandas.read_parquet(tmp_path / "out" / "events.parquet")
    assert events[events["alarm"]]["step"].tolist() == [4]


def test_csv_is_no_formula(run: hw.Run, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    with (tmp_path / "out" / "sites.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["activation_rms"]) for row in rows) == TOTAL
    with (tmp_path / "out" / "scalars.csv").open(encoding="utf-8") as file:
        scalars = {row["name"]: row["value"] for row in csv.DictReader(file)}
    assert scalars == {"val_loss": "0.5", "'=HYPERLINK()": "nan"}


def test_json_lines_are_strict(run: hw.Run, tmp_path: Path) -> None:
    export(run, "jsonl", tmp_path / "out")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "out" / "sites.jsonl").open()]
    assert sum(row["activation_rms"] for row in rows) == TOTAL
    scalars = [json.loads(line) for line in (tmp_path / "out" / "scalars.jsonl").open()]
    assert {row["name"]: row["value"] for row in scalars} == {"val_loss": 0.5, "=HYPERLINK()": "nan"}
    alarm = next(row for row in map(json.loads, (tmp_path / "out" / "events.jsonl").open()) if row["alarm"])
    assert (alarm["id"], alarm["values"]) == ("event.nonfinite", {"elements": 2})


def records(path: Path) -> Iterator[bytes]:
    """TFRecords, their checksums held."""
    data = path.read_bytes()
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        body = data[place + 12 : place + 12 + length]
        assert struct.unpack_from("<I", data, place + 8) == (masked(data[place : place + 8]),)
        assert struct.unpack_from("<I", data, place + 12 + length) == (masked(body),)
        yield body
        place += 16 + length


def masked(data: bytes) -> int:
    """CRC-32C bit by bit, as its polynomial says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF


def test_tensorboard_events_have_right_checksums(run: hw.Run, tmp_path: Path) -> None:
    (file,) = export(run, "tensorboard", tmp_path / "out")
    found = list(records(file))
    assert len(found) == 21
    assert b"brain.Event:2" in found[0]
    assert all(b"activation_rms/2" in event for event in found[1:])
    assert int(_crc32c()(np.frombuffer(b"123456789", np.uint8))) == 0xE3069283, "the check value of CRC-32C"


def test_tensorboard_itself_reads_them(run: hw.Run, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    export(run, "tensorboard", tmp_path / "out")
    loaded = accumulator.EventAccumulator(str(tmp_path / "out")).Reload()
    points = loaded.Scalars("activation_rms/1")
    assert [point.step for point in points] == list(range(20))
    assert [point.value for point in points] == [expected(step, 1) for step in range(20)]


def test_what_is_there_is_not_written_over(run: hw.Run, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    for to in ("csv", "tensorboard"):
        if to == "tensorboard":
            export(run, to, tmp_path / "out")
        with pytest.raises(InputError, match="is there already: name another folder with --out"):
            export(run, to, tmp_path / "out")  # type: ignore[arg-type]


def test_a_format_that_there_is_not(run: hw.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of parquet, csv, jsonl, tensorboard"):
        export(run, "xlsx", tmp_path / "out")  # type: ignore[arg-type]


def test_an_empty_run_has_empty_tables(tmp_path: Path) -> None:
    begun(tmp_path / "a").close()
    for to in ("parquet", "csv", "jsonl", "tensorboard"):
        assert export(hw.open_run(tmp_path / "a"), to, tmp_path / to)  # type: ignore[arg-type]
    assert len(pandas.read_parquet(tmp_path / "parquet" / "sites.parquet")) == 0
