"""The commands about recorded runs, as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from headwater.recorded import open_run
from headwater.records import InputError
from headwater.server.shelf import Shelf
from headwater.store import Writer
from headwater.store.columns import SITES
from headwater.sweeps.spec import spec_of
from headwater.sweeps.sweeping import swept
from tests.helpers import schema_violations, typed
from tests.store.recording import begun, record

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``runs/good`` and ``runs/bad``, which has NaN from step 30 on and a site of another name."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, renamed in (("good", "2"), ("bad", "out")):
        writer = Writer(folder / "runs" / name, {"model": "Sequential"}, clock=lambda: 1.8e9)
        like = {"op": "Linear", "kind": "affine", "module": ""}
        writer.add_rows("sites", [{"name": n, "order": o, **like} for o, n in enumerate(["0", "1", renamed])])
        for step in range(40):
            table = np.full((3, len(SITES)), 0.5)
            for column in SITES:
                if column.endswith(("_nan", "_inf", "fraction")):
                    table[:, SITES.index(column)] = 0.0
            if name == "bad":
                table[1, SITES.index("activation_grad_rms")] = 1e-9
                table[1:, SITES.index("activation_nan")] = 4.0 * (step >= 30)
            writer.step(step, {"sites": table}, 1.0 / (step + 1))
        if name == "bad":
            writer.event(30, "event.nonfinite", {"elements": 8}, is_alarm=True)
        writer.close()
    return folder


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("command", ["why runs/bad", "why runs/good", "compare runs/good runs/bad"])
def test_what_is_printed(runs: Path, golden: Callable[[Path, str], None], command: str, language: str) -> None:
    done = typed(*command.split(), "--lang", language, cwd=runs)
    assert done.stderr == ""
    assert done.returncode == (1 if command == "why runs/bad" else 0)
    name = command.replace("runs/", "").replace(" ", "_")
    golden(GOLDEN / f"{name}.{language}.txt", done.stdout)
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize("language", ["en", "ko"])
def test_runs_lists_each_in_a_line(runs: Path, language: str) -> None:
    done = typed("runs", "--lang", language, cwd=runs)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert {row.split()[0] for row in rows} == {"good", "bad"}
    assert all("kB" in row for row in rows)
    assert ("verdict" in head) == (language == "en")


@pytest.mark.parametrize(
    ("command", "kind", "status"),
    [
        ("why runs/bad", "why", 1),
        ("why runs/good", "why", 0),
        ("compare runs/good runs/bad", "comparison", 0),
        ("runs", "runs", 0),
    ],
)
def test_json_follows_its_schema(runs: Path, command: str, kind: str, status: int) -> None:
    done = typed(*command.split(), "--json", cwd=runs)
    assert (done.returncode, done.stderr) == (status, "")
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found["schema"] == f"headwater/{kind}/1"
    assert schema_violations(found, kind) == []


def test_why_says_in_json_where_it_broke(runs: Path) -> None:
    found = json.loads(typed("why", "runs/bad", "--json", "--lang", "ko", cwd=runs).stdout)
    assert (found["step"], found["site"], found["kind"], found["cause"]) == (30, "1", "activation", "zero_by_zero")
    assert "스텝에서" in found["message"]["text"]
    assert len(found["samples"]) == 21


@pytest.mark.parametrize("to", ["parquet", "csv", "jsonl", "tensorboard"])
def test_export_names_the_files_it_wrote(runs: Path, tmp_path: Path, to: str) -> None:
    done = typed("export", "runs/bad", "--to", to, "--out", str(tmp_path / to), "--json", cwd=runs)
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert (listed["schema"], listed["format"]) == ("headwater/export/1", to)
    written = {path.name: path.stat().st_size for path in (tmp_path / to).iterdir()}
    assert {entry["file"]: entry["bytes"] for entry in listed["files"]} == written
    again = typed("export", "runs/bad", "--to", to, "--out", str(tmp_path / to), cwd=runs)
    assert again.returncode == 2
    assert "is there already" in again.stderr


@pytest.mark.parametrize(
    "command", ["why {}", "compare runs/good {}", "compare {} runs/good", "export {} --to csv --out x"]
)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../x", "there is no such folder"),
        ("<img src=x onerror=alert(1)>", "there is no such folder"),
        ("runs", "it has no run.json"),
        ("file.parquet", "it is a file"),
    ],
)
def test_what_is_no_run_is_one_clear_line(runs: Path, tmp_path: Path, command: str, name: str, why: str) -> None:
    (tmp_path / "in" / "runs").mkdir(parents=True)
    shutil.copytree(runs / "runs" / "good", tmp_path / "in" / "runs" / "good")
    (tmp_path / "in" / "file.parquet").write_bytes(b"PAR1PAR1")
    arguments = [name if part == "{}" else part for part in command.split()]
    done = typed(*arguments, cwd=tmp_path / "in")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{name} is no run: {why}" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "in" / "x").exists()


def test_runs_of_a_folder_that_there_is_not(tmp_path: Path) -> None:
    done = typed("runs", "gone", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "Error: there is no folder 'gone': headwater runs DIR lists the runs that DIR holds.\n"
    (tmp_path / "empty").mkdir()
    done = typed("runs", "empty", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        'No runs here: hw.watch(model, optimizer, run="runs/a") records one.\n',
    )


def test_a_damaged_run_is_listed_and_explained_with_what_is_left(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "runs", tmp_path / "runs")
    segment = next((tmp_path / "runs" / "bad").glob("*/sites/*.parquet"))
    data = bytearray(segment.read_bytes())
    data[2000] ^= 1
    segment.write_bytes(data)
    done = typed("why", "runs/bad", cwd=tmp_path)
    assert done.returncode == 1
    assert f"sites/{segment.name}, bytes 0 to {len(data)}" in " ".join(done.stdout.split())
    steps = next((tmp_path / "runs" / "bad").glob("*/steps/*.parquet"))
    steps.write_bytes(steps.read_bytes()[:-9] + b"x" * 9)
    listed = json.loads(typed("runs", "--json", cwd=tmp_path).stdout)["runs"]
    assert {run["folder"]: run["damaged"] for run in listed} == {"good": 0, "bad": 2}


def test_names_of_a_run_are_shown_without_acting_on_the_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\u202egnp.exe <img onerror=1>"
    writer = Writer(tmp_path / "a", {"name": name})
    writer.add_rows("sites", [{"name": name, "order": 0, "op": name}])
    table = np.zeros((1, len(SITES)))
    table[0, SITES.index("activation_nan")] = 1.0
    writer.step(0, {"sites": table})
    writer.close()
    done = typed("why", "a", cwd=tmp_path)
    assert done.returncode == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)
    assert "<img onerror=1>" in done.stdout
    assert open_run(tmp_path / "a").site_names == [name]
    listed = typed("runs", ".", cwd=tmp_path)
    assert not {"\x1b", "\x07", "\u202e"} & set(listed.stdout)


def test_a_newer_run_is_one_clear_line(tmp_path: Path) -> None:
    from headwater.store.layout import RUN_FILE, checked, with_checksum

    writer = begun(tmp_path / "a")
    record(writer, range(2))
    writer.close()
    file = tmp_path / "a" / RUN_FILE
    file.write_bytes(with_checksum({**checked(file.read_bytes()), "format": 99}))
    done = typed("why", "a", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "newer headwater" in done.stderr
    with pytest.raises(InputError):
        open_run(tmp_path / "a")
    listed = typed("runs", ".", cwd=tmp_path)
    assert (listed.returncode, "unreadable" in listed.stdout) == (0, True)


def test_a_run_that_is_called_nan_is_no_number(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "runs" / "good", tmp_path / "good")
    writer = Writer(tmp_path / "nan")
    writer.add_rows("sites", [{"name": "0", "order": 0, "op": "Linear", "kind": "affine"}])
    table = np.full((1, len(SITES)), 0.5)
    writer.step(0, {"sites": table}, 1.0)
    writer.close()
    found = json.loads(typed("compare", "good", "nan", "--json", cwd=tmp_path).stdout)
    said = [difference["message"]["text"] for difference in found["differences"]]
    assert said
    assert all("nan" in sentence and "NaN in" not in sentence and not sentence.startswith("NaN") for sentence in said)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("command", ["runs", "why runs/bad", "compare runs/good runs/bad"])
@pytest.mark.parametrize("cells", [40, 60])
def test_a_narrow_terminal_gets_all_of_it_in_lines_that_fit(
    runs: Path, command: str, cells: int, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(cells))
    done = typed(*command.split(), "--lang", language, cwd=runs)
    assert max(cell_len(line.rstrip()) for line in done.stdout.splitlines()) <= cells
    assert "…" not in done.stdout
    monkeypatch.setenv("COLUMNS", "200")
    whole = typed(*command.split(), "--lang", language, cwd=runs).stdout
    assert set(whole.split()) == set(done.stdout.split())


def test_comparing_with_nothing_is_no_agreement(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "runs" / "good", tmp_path / "good")
    Writer(tmp_path / "empty").close()
    done = typed("compare", "good", "empty", cwd=tmp_path)
    assert done.returncode == 0
    assert "No recorded steps to compare" in done.stdout
    assert "within a quarter" not in done.stdout


def spoilt(folder: Path) -> Path:
    segment = next(folder.glob("*/sites/*.parquet"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    return segment


def test_what_is_damaged_is_told_where_it_is_missing(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "runs", tmp_path / "runs")
    name = f"sites/{spoilt(tmp_path / 'runs' / 'good').name}"
    export = typed("export", "runs/good", "--to", "csv", "--out", "x", cwd=tmp_path)
    assert export.returncode == 0
    assert name in export.stderr
    as_json = typed("export", "runs/good", "--to", "jsonl", "--out", "y", "--json", cwd=tmp_path)
    assert [entry["file"].endswith(name) for entry in json.loads(as_json.stdout)["damage"]] == [True]
    view = json.loads(typed("report", "runs/good", "--json", cwd=tmp_path).stdout)
    assert "1 damaged place could not be read." in view["lead"]["en"]
    assert name in next(fact["value"]["ko"] for fact in view["facts"] if fact["name"]["en"] == "damaged")
    whole = json.loads(typed("report", "runs/bad", "--json", cwd=tmp_path).stdout)
    assert "damaged" not in whole["lead"]["en"]
    steps = next((tmp_path / "runs" / "good").glob("*/steps/*.parquet"))
    steps.write_bytes(steps.read_bytes()[:-9] + b"x" * 9)
    assert "damaged place" in typed("runs", cwd=tmp_path).stdout


def test_a_sweep_is_listed_as_one_and_is_no_training(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "runs", tmp_path / "runs")
    spec = spec_of({"steps": 2, "seeds": 2, "axes": {"depth": [2, 3]}, "fixed": {"activation": "tanh"}}, name="edge")
    swept(spec, None, runs=str(tmp_path / "runs"), jobs=1)
    listed = {run["folder"]: run for run in json.loads(typed("runs", "--json", cwd=tmp_path).stdout)["runs"]}
    assert (listed["edge"]["trainings"], listed["edge"]["verdict"], listed["edge"]["state"]) == (4, None, "ended")
    assert listed["good"]["trainings"] is None
    for language, words in (("en", "sweep: 4 trainings"), ("ko", "스윕: 학습 4회")):
        row = next(r for r in typed("runs", "--lang", language, cwd=tmp_path).stdout.splitlines() if "edge" in r)
        assert words in row
        assert "?" not in row
    for command in ("why runs/edge", "report runs/edge", "compare runs/good runs/edge", "watch runs/edge"):
        done = typed(*command.split(), cwd=tmp_path)
        assert done.returncode == 2
        assert "runs/edge is a sweep of 4 trainings" in done.stderr
    assert "edge" not in {run.name for run in Shelf(tmp_path / "runs").runs()}


def test_runs_counts_the_steps_that_were_taken_and_not_those_that_were_measured(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    writer.scalars(250, {"val_loss": 0.5})
    assert json.loads(typed("runs", ".", "--json", cwd=tmp_path).stdout)["runs"][0]["steps"] == 250
    writer.note(steps=300, every="auto")
    writer.close()
    assert json.loads(typed("runs", ".", "--json", cwd=tmp_path).stdout)["runs"][0]["steps"] == 300


def test_watching_a_newer_run_is_one_clear_line(tmp_path: Path) -> None:
    from headwater.store.layout import RUN_FILE, checked, with_checksum

    writer = begun(tmp_path / "a")
    writer.close()
    file = tmp_path / "a" / RUN_FILE
    file.write_bytes(with_checksum({**checked(file.read_bytes()), "format": 99}))
    done = typed("watch", "a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "newer headwater" in done.stderr
