"""FAULTS §3.2 rows 5 and 7, and S2: flipped bits, half copies, other versions, and files that others have written."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.recorded import open_run
from headwater.records import InputError
from headwater.store import Recording
from headwater.store.columns import GROUPS
from headwater.store.frames import HEADER, MAGIC, MAX_PAYLOAD, Damaged, Frame, Kind, packed, scan
from headwater.store.layout import FORMAT, RUN_FILE, SegmentName, checked, with_checksum
from headwater.store.payloads import STEP, PayloadError, unpack_json, unpack_step
from headwater.store.segments import KEY
from tests.store.recording import (
    COLUMN,
    SITES,
    assert_right,
    begun,
    expected,
    kill,
    no_thread,
    record,
    small_logs,
    steps_of,
)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that nobody changes: ``log``, killed with nothing sealed, and ``sealed``, over three logs."""
    folder = tmp_path_factory.mktemp("runs")
    with no_thread():
        writer = begun(folder / "log")
        record(writer, range(6))
        writer.scalars(2, {"val_loss": 0.5})
        writer.event(3, "event.nonfinite", {"elements": 2}, is_alarm=True)
    kill(writer)
    with small_logs(16):
        writer = begun(folder / "sealed")
        record(writer, range(40))
        writer.event(3, "event.nonfinite", {"elements": 2}, is_alarm=True)
        writer.close()
    return folder


def flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


# 5: bit rot


def test_row_5_any_flipped_bit_of_a_log_is_found_and_costs_one_frame(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "log", tmp_path / "a")
    log = next((tmp_path / "a").glob("*/*.hwlog"))
    whole = log.read_bytes()
    frames = [piece for piece in scan(memoryview(whole)) if isinstance(piece, Frame)]
    random = np.random.default_rng(0)
    for bit in random.choice(len(whole) * 8, 120, replace=False).tolist():
        flipped(log, bit)
        run = Recording(tmp_path / "a")
        hit = next(frame for frame in frames if frame.start <= bit // 8 < frame.stop)
        damage = run.damage
        assert len(damage) == 1, f"bit {bit}"
        assert damage[0].file.endswith(log.name)
        assert damage[0].start == hit.start
        assert damage[0].stop in (hit.stop, len(whole)), "the range is that frame's"
        if hit.kind == Kind.STEP:
            assert len(steps_of(run)) == 5
        if hit.kind not in (Kind.FILE, Kind.SCHEMA):
            assert_right(run, [])
        log.write_bytes(whole)


def test_row_5_any_flipped_bit_of_a_sealed_run_is_found_or_harmless(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sealed", tmp_path / "a")
    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    random = np.random.default_rng(1)
    before = everything(Recording(tmp_path / "a"))
    for path in files:
        whole = path.read_bytes()
        for bit in random.choice(len(whole) * 8, 3, replace=False).tolist():
            flipped(path, bit)
            run = Recording(tmp_path / "a")
            told = [damage.file for damage in run.damage]
            if path.name in ("heartbeat", "start.json", "rows.json", "watch.json", "run.json"):
                # What is about the run, not of it: not believed where its checksum does not fit.
                assert everything(run) == before
                assert path.name != "run.json" or told == ["run.json"]
            else:
                assert told == [str(path.relative_to(tmp_path / "a"))], "the file is named"
                assert_right(run, [])
            path.write_bytes(whole)


def everything(run: Recording) -> object:
    """All numbers of a run."""
    read = {name: run.read(name)[1].tolist() for name in ("activation_rms", "update_ratio")}
    return read, steps_of(run), [(event.step, event.message) for event in run.events()], run.scalars().keys()


def test_row_5_other_blocks_are_shown_and_rollups_take_a_lost_segments_place(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sealed", tmp_path / "a")
    flipped(sorted((tmp_path / "a").glob("*/sites/*.parquet"))[1], 4000)
    points, values = Recording(tmp_path / "a").read(COLUMN)
    assert points.tolist() == [*range(16), 16, *range(32, 40)], "sixteen steps as one point"
    assert values[1, 16] == expected(31, row=1), "their largest value"


def test_row_5_a_lost_rollup_is_made_again_from_the_steps(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sealed", tmp_path / "a")
    wanted = Recording(tmp_path / "a").read(COLUMN, max_points=2)
    for path in (tmp_path / "a").glob("*/sites-*/*.parquet"):
        flipped(path, 3000)
    points, values = Recording(tmp_path / "a").read(COLUMN, max_points=2)
    np.testing.assert_array_equal(points, wanted[0])
    np.testing.assert_array_equal(values, wanted[1])


def test_row_5_sealing_keeps_bytes_that_are_no_frame(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    flipped(writer._log.path, 8 * (writer._log.length - 300))
    record(writer, range(3, 5))
    writer.close()
    kept = list((tmp_path / "a").glob("*/quarantine/*"))
    assert len(kept) == 1
    start, stop = map(int, kept[0].suffix.lstrip(".").split("-"))
    assert kept[0].stat().st_size == stop - start > 0
    assert steps_of(Recording(tmp_path / "a")) == [0, 1, 3, 4]


# 7: while it is written, by halves, of other versions


def test_row_7_a_run_being_written_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    with small_logs(8):
        writer = begun(tmp_path / "a")
        run = Recording(tmp_path / "a")
        for step in range(30):
            assert record(writer, range(step, step + 1)) == [step]
            run.refresh()
            assert steps_of(run) == list(range(step + 1))
        assert run.state.name == "running"
        writer.close()
    run.refresh()
    assert (run.state.name, steps_of(run)) == ("ended", list(range(30)))


HALVES = ["sites/000001", "sites/000002", "steps", "start.json", "run.json", "rows.json", "sites"]


@pytest.mark.parametrize("gone", HALVES)
def test_row_7_a_run_copied_by_halves_shows_what_is_there(runs: Path, tmp_path: Path, gone: str) -> None:
    shutil.copytree(runs / "sealed", tmp_path / "a")
    for path in list((tmp_path / "a").rglob("*")):
        if path.is_file() and gone in str(path.relative_to(tmp_path / "a")):
            path.unlink()
    assert_right(Recording(tmp_path / "a"), [])


def test_row_7_a_newer_version_is_one_clear_line(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "log", tmp_path / "a")
    info = checked((tmp_path / "a" / RUN_FILE).read_bytes())
    (tmp_path / "a" / RUN_FILE).write_bytes(with_checksum({**info, "format": FORMAT + 1}))
    with pytest.raises(
        InputError, match=rf"newer headwater \(format {FORMAT + 1}, this one reads {FORMAT}\)"
    ) as caught:
        Recording(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_row_7_kinds_that_are_not_known_are_passed_over(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "log", tmp_path / "a")
    log = next((tmp_path / "a").glob("*/*.hwlog"))
    whole = log.read_bytes()
    frames = [piece for piece in scan(memoryview(whole)) if isinstance(piece, Frame)]
    pieces = [bytes(whole[frame.start : frame.stop]) for frame in frames]
    pieces.insert(4, packed(777, 1, b"of a later version"))
    log.write_bytes(b"".join(pieces))
    run = Recording(tmp_path / "a")
    assert not run.damage
    assert_right(run, list(range(6)))


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.iterdir()) if GOLDEN.is_dir() else [])
def test_row_7_runs_of_older_versions_stay_readable(version: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / version, tmp_path / "a")  # reading changes nothing, and this would show if it did
    expectation = json.loads((GOLDEN / version / "expected.json").read_text(encoding="utf-8"))
    for kind in ("killed", "ended"):
        run = Recording(tmp_path / "a" / kind)
        assert not run.damage
        assert steps_of(run) == expectation[kind]["steps"]
        assert run.site_names == expectation["sites"]
        assert [event.message.id for event in run.events()] == expectation[kind]["events"]
        for statistic, rows in expectation["values"].items():
            assert run.read(statistic)[1].tolist() == rows
        assert {name: curve.values.tolist() for name, curve in run.scalars().items()} == expectation["scalars"]


# Not ours


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, why in (("other", "has no run.json"), ("file", "it is a file"), ("gone", "there is no such folder")):
        with pytest.raises(InputError, match=rf"{name} is no run: .*{why}"):
            Recording(tmp_path / name)


def test_another_programs_folder_is_not_recorded_into(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(InputError, match=r"other things in it \('x.txt'\)"):
        begun(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_another_programs_parquet_is_named_and_passed_over(runs: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.copytree(runs / "sealed", tmp_path / "a")
    folder = next((tmp_path / "a").glob("start-*")) / "sites"
    pq.write_table(pa.table({"x": [1, 2]}), folder / "foreign.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1, 2]}), sink)
    data = sink.getvalue().to_pybytes()
    (folder / str(SegmentName(9, 9, zlib.crc32(data)))).write_bytes(data)
    run = Recording(tmp_path / "a")
    assert ["another program's Parquet" in damage.why for damage in run.damage] == [True]
    assert_right(run, list(range(40)))


# S2: hostile files


def frames_of(data: bytes) -> list[Frame | Damaged]:
    return list(scan(memoryview(data)))


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_bytes_of_anybody_are_frames_or_damage_and_nothing_is_lost(data: bytes, length: int, kind: int) -> None:
    whole = packed(Kind.SCALARS, 3, b"{}")
    hostile = HEADER.pack(MAGIC, kind, 0, length, 0, 0)
    found = frames_of(hostile + data + whole)
    assert sum((p.stop - p.start) for p in found) == len(hostile + data + whole)
    assert isinstance(found[-1], Frame)
    assert bytes(found[-1].payload) == b"{}"


def test_a_length_is_not_believed_before_the_bytes_are_there() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for length in (MAX_PAYLOAD + 1, 2**31, 2**32 - 1):
        data = HEADER.pack(MAGIC, Kind.STEP, 0, length, 0, 0) + b"x" * 100
        assert frames_of(data) == [Damaged(0, len(data))]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@given(st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6), st.integers(0, 64))
def test_a_table_is_not_allocated_before_its_bytes_are_there(shape: list[int], rest: int) -> None:
    payload = STEP.pack(0, 0.0, 0.0, *shape) + b"\0" * rest
    sizes = [rows * (columns & ~(1 << 31)) * 8 for rows, columns in zip(shape[::2], shape[1::2], strict=True)]
    if sum(sizes) > rest:
        with pytest.raises(PayloadError):
            unpack_step(memoryview(payload))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40, b'{"a": NaN' * 2]
)
def test_json_that_is_none_or_too_deep_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        unpack_json(payload)


def test_brackets_in_names_are_no_depth() -> None:
    name = '[{"' * 100
    assert unpack_json(json.dumps({"name": name}).encode()) == {"name": name}


NASTY = (None, True, -1, 2**31, 2**63, -(2**70), 10**400, 1e308, float("inf"), "", "nan", "1e999", "\0", [], {}, [[]])
"""What stands where something else should; ``json`` writes Inf as ``Infinity``, and reads it."""
AT_ONCE = 100  # hostile frames of one log: opening a run costs more than reading them


def hostile(random: np.random.Generator, payload: bytes, is_json: bool) -> bytes:
    """A payload with some bytes of anybody, cut off now and then; of JSON also one with a value of anybody."""
    if is_json and random.random() < 0.5:
        data = json.loads(payload)
        with_something_else(random, data)
        return json.dumps(data).encode()
    changed = bytearray(payload)
    for _ in range(int(random.integers(1, 6))):
        changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed[: int(random.integers(len(changed) + 1))] if random.random() < 0.3 else changed)


def with_something_else(random: np.random.Generator, data: Any) -> None:
    """Put something nasty somewhere into nested lists and dictionaries, or leave something out."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    if not keys:
        return
    key = keys[int(random.integers(len(keys)))]
    if isinstance(data[key], (dict, list)) and data[key] and random.random() < 0.6:
        with_something_else(random, data[key])
    elif random.random() < 0.2:
        del data[key]
    else:
        data[key] = NASTY[int(random.integers(len(NASTY)))]


def look_at(path: Path) -> bool:
    """Open a run and read all that a page would; whether it was taken for a run at all."""
    try:
        run = Recording(path)
    except InputError:
        return False
    run.read(COLUMN)
    run.read_parameters("grad_norm", max_points=4)
    run.scalars()
    run.events()
    run.course()
    run.loss_of_steps()
    assert isinstance(run.sites, list)
    assert run.state.name in ("running", "ended", "broken")
    assert isinstance(run.damage, list)
    run.follow()
    return True


def check_fuzz(runs: Path, tmp_path: Path, times: int) -> None:
    """Frames of anybody, whose checksums fit: those are no protection against somebody who computes them."""
    shutil.copytree(runs / "log", tmp_path / "a")
    log = next((tmp_path / "a").glob("*/*.hwlog"))
    whole = log.read_bytes()
    random = np.random.default_rng(7)
    frames = [p for p in frames_of(whole) if isinstance(p, Frame)]
    frames += [p for p in frames_of(packed(Kind.GAP, 50, GAP) + packed(Kind.END, 51, END)) if isinstance(p, Frame)]
    read = 0
    for begin in range(0, times, AT_ONCE):
        data = bytearray(whole)
        for number in range(AT_ONCE):
            frame = frames[int(random.integers(len(frames)))]
            payload = hostile(random, bytes(frame.payload), frame.kind != Kind.STEP)
            data += packed(frame.kind, 99 + number, payload)
        log.write_bytes(data)
        try:
            read += look_at(tmp_path / "a")
        except Exception as error:
            error.add_note(f"after {begin:,} payloads; they lie in {log}")
            raise
    # A head of a newer version ends a log, which is right: but most have to have been read, or nothing is shown.
    assert read * AT_ONCE > times // 2


GAP = b'{"time": 1.0, "steps": 3, "frames": 3, "first_step": 1, "last_step": 3, "why": "x"}'
END = b'{"time": 1.0, "step": 5, "reason": "closed"}'


def test_payloads_of_anybody_with_a_right_checksum_break_nothing(runs: Path, tmp_path: Path) -> None:
    check_fuzz(runs, tmp_path, 3000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_payloads_of_anybody(runs: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_fuzz(runs, tmp_path, 1_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10  # kB


def test_a_kept_step_that_unpacks_without_end_is_none(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs / "log", tmp_path / "a")
    flows = next((tmp_path / "a").glob("start-*")) / "flows"
    flows.mkdir()
    monkeypatch.setattr("headwater.store.start._MAX_FLOW", 1 << 20)
    (flows / "first.json.gz").write_bytes(gzip.compress(b'{"a": "' + b"x" * (2 << 20) + b'"}'))
    (flows / "last.json.gz").write_bytes(gzip.compress(b'{"a": "' + b"x" * (1 << 19) + b'"}'))
    run = Recording(tmp_path / "a")
    assert run.flow_data("first") is None
    assert run.flow_data("last") is not None, "and one of an honest size is read"


def test_a_segment_that_unpacks_without_end_is_refused_before_it_is_read(runs: Path, tmp_path: Path) -> None:
    """2^26 equal numbers take a few kB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.copytree(runs / "sealed", tmp_path / "a")
    folder = next((tmp_path / "a").glob("start-*")) / "steps"
    count = 1 << 26
    sink = pa.BufferOutputStream()
    facts = json.dumps({"format": 1, "table": "steps"})
    schema = pa.schema([("step", pa.int64())], {KEY: facts})
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        part = pa.table({"step": np.zeros(1 << 22, np.int64)}, schema=schema)
        for _ in range(count >> 22):
            writer.write_table(part)
    data = sink.getvalue().to_pybytes()
    assert len(data) < 1 << 20
    (folder / str(SegmentName(9, 9, zlib.crc32(data)))).write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = Recording(tmp_path / "a")
    assert steps_of(run) == list(range(40))
    assert [damage.why for damage in run.damage] == [f"{count} rows of 0 sites"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize("type", ["string", "float32", "list<item: double>"])
def test_a_column_of_another_type_is_told_and_not_read(runs: Path, tmp_path: Path, type: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.copytree(runs / "sealed", tmp_path / "a")
    folder = next((tmp_path / "a").glob("start-*")) / "steps"
    old = min(folder.iterdir())
    table = pq.read_table(old)
    other = {"string": ["x"], "float32": np.zeros(1, np.float32), "list<item: double>": [[1.0]]}[type]
    column = pa.concat_arrays([pa.array(other)] * table.num_rows)
    metadata = {KEY: pq.read_schema(old).metadata[KEY]}
    changed = table.set_column(table.column_names.index("loss"), "loss", column).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(changed, sink)
    data = sink.getvalue().to_pybytes()
    old.unlink()
    new = folder / str(SegmentName(1, 1, zlib.crc32(data)))
    new.write_bytes(data)
    run = Recording(tmp_path / "a")
    assert run.scalars()["loss"].steps.tolist() == list(range(16, 40))
    assert [damage.file for damage in run.damage] == [str(new.relative_to(tmp_path / "a"))]
    assert "column loss is of type" in run.damage[0].why


def test_links_out_of_a_run_are_not_followed(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "log", tmp_path / "a")
    (tmp_path / "a" / "start-0009.rank-0").symlink_to(runs / "sealed" / "start-0001.rank-0")
    log = next((tmp_path / "a").glob("start-0001*/*.hwlog"))
    outside = tmp_path / "outside"
    outside.write_bytes(log.read_bytes())
    log.unlink()
    log.symlink_to(outside)
    run = Recording(tmp_path / "a")
    assert steps_of(run) == []


@pytest.mark.parametrize("name", ["../x", "<img src=x onerror=alert(1)>", "a\0b", "/etc/passwd", "..", "C:\\x", "‮"])
def test_names_of_sites_are_data_and_never_paths(tmp_path: Path, name: str) -> None:
    writer = begun(tmp_path / "a")
    writer.add_rows("sites", [{"name": name, "order": 9}])
    wide = {
        group: np.zeros((len(SITES) + 1 if group == "sites" else 1, len(GROUPS[group])))
        for group in ("sites", "course")
    }
    assert writer.step(0, wide)
    writer.close()
    assert Recording(tmp_path / "a").site_names == [*SITES, name]
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert not [path for path in (tmp_path / "a").rglob("*") if "img" in path.name or "passwd" in path.name]
    assert os.listdir(tmp_path / "a") != []


@pytest.mark.parametrize("name", ["run.json", "start.json", "heartbeat", "rows.json", "watch.json"])
def test_small_files_of_anybody_with_a_right_checksum_break_nothing(runs: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(runs / "sealed", tmp_path / "a")
    path = next((tmp_path / "a").rglob(name), None)
    if path is None:  # a writer without a watch has none
        path = next((tmp_path / "a").glob("start-*")) / name
        path.write_bytes(with_checksum({"steps": 40, "every": "auto", "budget": 0.02, "overhead": None}))
    good = checked(path.read_bytes().rstrip(b" \0"))
    random = np.random.default_rng(3)
    for _ in range(25):
        data = json.loads(json.dumps(good))
        with_something_else(random, data)
        payload = json.dumps(data, separators=(",", ":")).encode("ascii")
        path.write_bytes(payload[:-1] + b', "crc32": "%08x"}' % zlib.crc32(payload) if data else b"{}")
        if look_at(tmp_path / "a"):
            run = open_run(tmp_path / "a")
            run.run_info()
            run.watch_info()
            assert run.place.world_size >= 1
