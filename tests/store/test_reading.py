"""What is read of a run: against a slow and obvious reduction, by other programs, and when room was made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headwater.records import InputError
from headwater.store import Recording, Writer
from headwater.store.columns import GROUPS, SITES
from headwater.store.disk import Disk
from headwater.store.layout import level_folder
from headwater.store.retention import make_room
from headwater.store.rollup import rolled_up
from headwater.store.segments import Segment
from tests.store.recording import COLUMN, begun, expected, no_thread, record, small_logs, steps_of


def written(path: Path, values: np.ndarray, log_steps: int = 48, close: bool = True) -> Writer:
    """A run of one site whose one statistic is ``values``; NaN is not measured."""
    with small_logs(log_steps), no_thread():
        writer = Writer(path)
        writer.add_rows("sites", [{"name": "0", "order": 0}])
        for step, value in enumerate(values):
            table = np.full((1, len(SITES)), np.nan)
            table[0, 0] = value
            assert writer.step(step, {"sites": table})
            if step % 100 == 99:
                writer._keeper.turn()
        if close:
            writer.close()
    return writer


def some_values(count: int = 300) -> np.ndarray:
    random = np.random.default_rng(0)
    values = random.standard_normal(count)
    values[random.random(count) < 0.3] = np.nan
    values[100:140] = np.nan
    values[77], values[200], values[201] = 1e30, np.inf, -np.inf
    return values


REDUCTIONS = {"min": np.min, "max": np.max, "mean": np.mean, "last": lambda values: values[-1]}


@pytest.mark.parametrize("reduce", ["min", "max", "mean", "last"])
def test_rollup_is_what_a_loop_over_runs_gives(reduce: str) -> None:
    values = some_values()[:, None]
    starts = np.array([0, 16, 32, 100, 116, 132, 200, 299])
    found = rolled_up(values, starts)[reduce][:, 0]
    for place, (begin, end) in enumerate(zip(starts, [*starts[1:], 300], strict=True)):
        known = values[begin:end, 0][~np.isnan(values[begin:end, 0])]
        with np.errstate(invalid="ignore"):
            wanted = (
                {"min": np.min, "max": np.max, "mean": np.mean, "last": lambda v: v[-1]}[reduce](known)
                if len(known)
                else np.nan
            )
        np.testing.assert_allclose(found[place], wanted, rtol=1e-12)


@pytest.mark.parametrize("closed", [True, False], ids=["sealed", "part of it a log"])
@pytest.mark.parametrize("reduce", ["min", "max", "mean", "last"])
def test_fewer_points_are_reductions_of_all(tmp_path: Path, closed: bool, reduce: str) -> None:
    values = some_values()
    values[200:202] = 3.0
    writer = written(tmp_path / "a", values, close=closed)
    run = Recording(tmp_path / "a")
    points, all_of_it = run.read(COLUMN)
    assert points.tolist() == list(range(300))
    np.testing.assert_array_equal(all_of_it[0], values)
    few, found = run.read(COLUMN, max_points=20, reduce=reduce)
    assert 5 <= len(few) <= 20
    for place, (begin, end) in enumerate(zip(few, [*few[1:], 300], strict=True)):
        known = values[begin:end][~np.isnan(values[begin:end])]
        if not len(known):
            assert np.isnan(found[0, place])
        elif reduce == "mean":  # of runs that are not measured alike, a mean of means is near, not equal
            assert known.min() <= found[0, place] <= known.max()
        else:
            assert found[0, place] == REDUCTIONS[reduce](known)
    if not closed:
        writer.close()


def test_no_spike_is_lost_at_any_number_of_points(tmp_path: Path) -> None:
    written(tmp_path / "a", some_values())
    run = Recording(tmp_path / "a")
    for count in (1, 2, 7, 50, 299, 300, 10_000):
        points, values = run.read(COLUMN, max_points=count)
        assert len(points) <= count
        assert np.nanmax(values) == np.inf
        assert np.nanmin(run.read(COLUMN, max_points=count, reduce="min")[1]) == -np.inf


def test_a_range_and_sites_in_the_order_asked_for(tmp_path: Path) -> None:
    with small_logs(16):
        writer = begun(tmp_path / "a")
        record(writer, range(50))
        writer.close()
    run = Recording(tmp_path / "a")
    points, values = run.read("update_ratio", sites=["2", "0"], start=10, stop=13)
    assert points.tolist() == [10, 11, 12]
    wanted = [[expected(step, row, "update_ratio") for step in (10, 11, 12)] for row in (2, 0)]
    assert values.tolist() == wanted
    assert run.read(COLUMN, sites=[])[1].shape == (0, 50)
    with pytest.raises(InputError, match=r"no statistic 'rms' of sites; there are activation_rms"):
        run.read("rms")
    with pytest.raises(InputError, match=r"no site 'x' in a; there are 0, 1, 2"):
        run.read(COLUMN, sites=["x"])


def test_sites_that_come_later_have_rows_of_their_own(tmp_path: Path) -> None:
    for sealed in (False, True):
        with small_logs(4):
            writer = begun(tmp_path / str(sealed))
            record(writer, range(3))
            writer.add_rows("sites", [{"name": "new", "order": 1.5}])
            assert writer.step(3, {"sites": np.ones((4, len(SITES)))})
            if sealed:
                writer.close()
        run = Recording(tmp_path / str(sealed))
        assert run.site_names == ["0", "1", "new", "2"], "in the order of execution"
        assert np.isnan(run.read(COLUMN, sites=["new"])[1][0, :3]).all()
        assert run.read(COLUMN, sites=["new"])[1][0, 3] == 1.0
        writer.close()


def test_a_loss_that_is_nan_is_not_one_that_was_not_told(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    for step, loss in enumerate([1.0, None, float("nan"), float("inf")]):
        writer.step(step, {}, loss)
    for _ in range(2):
        curve = Recording(tmp_path / "a").scalars()["loss"]
        assert curve.steps.tolist() == [0, 2, 3]
        np.testing.assert_array_equal(curve.values, [1.0, np.nan, np.inf])
        writer.close()


def test_following_gives_each_step_event_and_scalar_once(tmp_path: Path) -> None:
    with small_logs(8), no_thread():
        writer = begun(tmp_path / "a")
        run = Recording(tmp_path / "a")
        cursor, steps, events, scalars, losses = None, [], [], [], []
        for step in range(40):
            record(writer, range(step, step + 1))
            if step % 7 == 0:
                writer.event(step, "event.nonfinite", {"elements": step})
                writer.scalars(step, {"lr": float(step), "x": 1.0})
            if step % 5 == 4:
                update = run.follow(cursor, [COLUMN])
                cursor = update.cursor
                assert update.values[COLUMN][2].tolist() == [expected(int(s), 2) for s in update.steps]
                steps += update.steps.tolist()
                losses += update.loss.tolist()
                events += [event.step for event in update.events]
                scalars += update.scalars.get("lr", [])
            if step % 11 == 10:
                writer._keeper.turn()
        assert steps == list(range(40))
        assert losses == [1.0 / (step + 1) for step in range(40)]
        assert events == [0, 7, 14, 21, 28, 35]
        assert scalars == [(step, float(step)) for step in events]
        assert not run.follow(cursor).steps.size
        writer.close()
    assert [event.message.id for event in run.follow(cursor).events] == ["event.end"]
    with pytest.raises(InputError, match="no cursor"):
        run.follow("x")


# Room


def test_what_is_old_gets_coarser_and_alarms_keep_their_steps(tmp_path: Path) -> None:
    with small_logs(256), no_thread():
        writer = begun(tmp_path / "a")
        for step in range(2048):
            record(writer, range(step, step + 1))
            if step == 700:
                writer.event(step, "event.nonfinite", {"elements": 1}, is_alarm=True)
            if step % 256 == 255:
                writer._keeper.turn()
        writer.close()
    before = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    make_room(Disk(), tmp_path / "a", before // 3)
    after = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert after < before * 0.6
    run = Recording(tmp_path / "a")
    assert not run.damage
    assert steps_of(run) == list(range(2048)), "losses and times of all steps stay"
    points, values = run.read(COLUMN, reduce="min")
    np.testing.assert_array_equal(values[0], [expected(int(step)) for step in points])
    assert set(range(640, 768)) <= set(points.tolist()), "the steps around the alarm"
    assert set(range(1792, 2048)) <= set(points.tolist()), "and the newest ones"
    assert len(points) < 1400
    assert np.all(np.diff(points) > 0), "each step once"
    assert np.nanmax(run.read(COLUMN, max_points=10)[1]) == expected(2047, 2)


def test_a_run_keeps_to_its_budget_by_itself(tmp_path: Path) -> None:
    with small_logs(256), no_thread():
        writer = begun(tmp_path / "a", budget=600_000)
        for step in range(6000):
            record(writer, range(step, step + 1))
            if step % 256 == 255:
                writer._keeper.turn()
        writer.close()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    least = sum(
        path.stat().st_size
        for path in tmp_path.rglob("*")
        if path.parent.name.endswith("-4096") or path.parent.name == "steps"
    )
    assert size <= 600_000 + least, "what stays whatever the budget is beside it"
    assert not writer._keeper.problems
    assert steps_of(Recording(tmp_path / "a")) == list(range(6000))


# Long runs


def many_logs(path: Path, logs: int = 20, steps: int = 16) -> list[int]:
    """A run over many logs, whose sites grow by one on the way."""
    with small_logs(steps), no_thread():
        writer = begun(path)
        for log in range(logs):
            assert record(writer, range(log * steps, (log + 1) * steps)) == list(range(log * steps, (log + 1) * steps))
            writer._keeper.turn()
        writer.close()
        assert not writer._keeper.problems
    return list(range(logs * steps))


def test_coarse_rollups_of_many_logs_lie_in_few_files(tmp_path: Path) -> None:
    steps = many_logs(tmp_path / "a")
    folder = tmp_path / "a" / "start-0001.rank-0"
    for level, files in ((1, 20), (16, 20), (256, 3), (4096, 3)):
        assert len(list((folder / level_folder("sites", level)).iterdir())) == files
    run = Recording(tmp_path / "a")
    assert len(run) == len(steps)
    assert not run.damage
    points, values = run.read(COLUMN, max_points=2, reduce="max")
    ends = [*points[1:].tolist(), len(steps)]
    assert values.tolist() == [[expected(end - 1, row) for end in ends] for row in range(3)]
    assert run.read(COLUMN, max_points=2, reduce="min")[1][0].tolist() == [expected(int(step)) for step in points]


def test_a_long_run_is_read_from_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_logs(tmp_path / "a", logs=40)
    opened: list[str] = []
    begin = Segment.__init__

    def counted(self: Segment, path: Path) -> None:
        opened.append(path.parent.name)
        begin(self, path)

    monkeypatch.setattr(Segment, "__init__", counted)
    Recording(tmp_path / "a").read(COLUMN, max_points=1)
    assert len(opened) <= 2 * 40 / 8 + 4, opened


def test_sites_that_come_later_are_unknown_in_the_logs_before(tmp_path: Path) -> None:
    with small_logs(4), no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(4))
        writer._keeper.turn()
        writer.add_rows("sites", [{"name": "new", "order": 9}])
        for step in range(4, 12):
            assert writer.step(step, {"sites": np.full((4, len(SITES)), float(step))})
        writer._keeper.turn()
        writer.close()
    assert len(list((tmp_path / "a" / "start-0001.rank-0" / "sites-256").iterdir())) == 1
    values = Recording(tmp_path / "a").read(COLUMN, max_points=1)[1]
    assert values[3].tolist() == [11.0]
    assert np.isnan(Recording(tmp_path / "a").read(COLUMN, sites=["new"], stop=4)[1]).all()


def test_a_gathered_file_that_is_damaged_is_made_again_from_the_steps(tmp_path: Path) -> None:
    many_logs(tmp_path / "a", logs=10)
    wanted = Recording(tmp_path / "a").read(COLUMN, max_points=2)
    folder = tmp_path / "a" / "start-0001.rank-0" / "sites-256"
    first = min(folder.iterdir())
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    run = Recording(tmp_path / "a")
    points, values = run.read(COLUMN, max_points=2)
    assert [damage.file for damage in run.damage] == [f"start-0001.rank-0/sites-256/{first.name}"]
    np.testing.assert_array_equal(points, wanted[0])
    np.testing.assert_array_equal(values, wanted[1])


def test_a_file_that_is_gathered_while_it_is_read_is_looked_for_again(tmp_path: Path) -> None:
    with small_logs(16), no_thread():
        writer = begun(tmp_path / "a")
        record(writer, range(32))
        writer._keeper.turn()
        run = Recording(tmp_path / "a")
        record(writer, range(32, 48))
        writer._keeper.turn()  # what the reader has found is gone
        assert run.read(COLUMN, max_points=1)[1].tolist() == [[expected(47, row)] for row in range(3)]
        writer.close()


def test_sealing_and_reading_import_no_pandas(tmp_path: Path) -> None:
    """It is installed here, takes a second, and the one process is the training's."""
    code = f"""
import sys
from pathlib import Path
from tests.store.recording import begun, record
from headwater.store import Recording
writer = begun(Path({str(tmp_path / "a")!r}))
record(writer, range(40))
writer.scalars(3, {{"lr": 0.1}})
writer.event(3, "event.nonfinite", {{"elements": 1}}, is_alarm=True)
writer.close()
run = Recording(Path({str(tmp_path / "a")!r}))
run.read("activation_rms", max_points=5), run.scalars(), run.events(), run.course(), run.loss_of_steps(), run.damage
assert "pyarrow" in sys.modules
assert "pandas" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


# Other programs


def test_an_ended_run_is_plain_parquet(tmp_path: Path) -> None:
    """pandas, pyarrow, polars and DuckDB, none of which knows us."""
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    import pandas
    import pyarrow.dataset

    with small_logs(16):
        writer = begun(tmp_path / "a")
        record(writer, range(40))
        writer.scalars(3, {"val_loss": 0.25})
        writer.close()
    pattern = str(tmp_path / "a" / "start-*" / "sites" / "*.parquet")
    wanted = sum(expected(step, row) for step in range(40) for row in range(3))
    rows = duckdb.sql(
        f"SELECT count(*), sum(activation_rms), max(step), count(DISTINCT site) FROM '{pattern}'"
    ).fetchall()
    assert rows == [(120, wanted, 39, 3)]
    assert polars.scan_parquet(pattern).select(polars.col("activation_rms").sum()).collect().item() == wanted
    folder = tmp_path / "a" / "start-0001.rank-0"
    frame = pandas.read_parquet(folder / "sites")
    assert frame["activation_rms"].sum() == wanted
    assert list(frame.columns) == ["site", "ordinal", "step", "number", "time", *SITES]
    assert str(frame["time"].dtype).startswith("datetime64")
    dataset = pyarrow.dataset.dataset(folder / "parameters")
    assert dataset.schema.names == ["parameter", "ordinal", "step", "number", "time", *GROUPS["parameters"]]
    assert dataset.count_rows() == 80
    assert pandas.read_parquet(folder / "scalars")[["step", "name", "value"]].values.tolist() == [[3, "val_loss", 0.25]]
    assert frame["activation_rms"].dtype.kind == "f"


def test_not_measured_is_null_to_other_programs(tmp_path: Path) -> None:
    import pyarrow.dataset

    written(tmp_path / "a", np.array([1.0, np.nan, np.inf]))
    table = pyarrow.dataset.dataset(tmp_path / "a" / "start-0001.rank-0" / "sites").to_table()
    assert table["activation_rms"].to_pylist() == [1.0, None, np.inf]
    assert table["update_ratio"].null_count == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_statistic_of_a_million_steps_is_read_in_a_fifth_of_a_second(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a")
    writer.add_rows("sites", [{"name": str(n), "order": n} for n in range(8)])
    table = {"sites": np.random.default_rng(0).random((8, len(SITES)))}
    for step in range(1_000_000):
        writer.step(step, table, 1.0)
    writer.close(wait_s=600)
    Recording(tmp_path / "a").read(COLUMN, max_points=2000)  # the operating system's cache is filled

    def seconds() -> float:
        started = time.perf_counter()
        points, _ = Recording(tmp_path / "a").read(COLUMN, max_points=2000)
        assert 500 <= len(points) <= 2000
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) <= 0.2


def test_recorded_steps_are_counted_through_all_starts_whatever_is_read(tmp_path: Path) -> None:
    for first, count in ((0, 10), (5, 10), (20, 4)):
        writer = begun(tmp_path / "a")
        record(writer, range(first, first + count))
        writer.close()
    run = Recording(tmp_path / "a")
    assert run.sequence().tolist() == list(range(24))
    assert run.read(COLUMN, axis="seq")[0].tolist() == list(range(24))
    assert run.read(COLUMN, start=5, stop=10, axis="seq")[0].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert run.read(COLUMN, start=20, axis="seq")[0].tolist() == [20, 21, 22, 23]
