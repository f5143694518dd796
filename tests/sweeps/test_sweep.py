"""Sweeps on processes here: what comes of each point, what is lost is made again, what was made is not."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headwater.records import InputError
from headwater.sweeps.spec import SweepSpec, spec_of
from headwater.sweeps.sweeping import swept
from headwater.sweeps.trial import Task, run_job
from tests.helpers import ROOT, headwater
from tests.sweeps import experiments


def spec(**changed: Any) -> SweepSpec:
    data = {"name": "s", "axes": {"slope": [1.0, 2.0, 3.0]}, "steps": 5, "experiment": "tests.sweeps.experiments:small"}
    return spec_of({**data, **changed})


class Gives:
    """Loads a function of ``experiments`` by name, in whatever process."""

    def __init__(self, name: str, **fixed: Any) -> None:
        self.name, self.fixed = name, fixed

    def __call__(self) -> Any:
        function = getattr(experiments, self.name)
        return partial(function, **self.fixed) if self.fixed else function


def test_each_point_gives_what_it_gives_alone_and_in_any_process(tmp_path: Path) -> None:
    wanted = spec(seeds=2)
    found = swept(wanted, Gives("small"), runs=tmp_path, jobs=2)
    assert [trial.point["slope"] for trial in found.trials] == [1.0, 2.0, 3.0] * 2
    task = Task(Gives("small"), {}, wanted.steps)
    for job, trial in zip(wanted.jobs(), found.trials, strict=True):
        alone = run_job(experiments.small, task, job)
        assert (trial.metric, trial.loss, trial.untrained) == (alone.metric, alone.loss, alone.untrained)
        assert trial.metric > trial.untrained
        assert trial.steps == 5
    assert found.missing == 0


def test_what_was_made_is_not_made_again_and_more_seeds_go_on(tmp_path: Path) -> None:
    swept(spec(), Gives("small"), runs=tmp_path, jobs=1)
    told: list[tuple[int, int]] = []
    more = swept(
        spec(seeds=2), Gives("small"), runs=tmp_path, jobs=1, progress=lambda _, done, total: told.append((done, total))
    )
    assert told[0] == (3, 6)
    assert told[-1] == (6, 6)
    assert any(note.id == "sweep.note_resumed" and note.values["count"] == 3 for note in more.notes)
    again = swept(spec(seeds=2), Gives("raises"), runs=tmp_path, jobs=1)  # nothing is left to be made
    assert again.trials == more.trials


def test_another_sweep_and_another_run_are_not_written_over(tmp_path: Path) -> None:
    swept(spec(), Gives("small"), runs=tmp_path, jobs=1)
    with pytest.raises(InputError, match="holds another sweep"):
        swept(spec(steps=6), Gives("small"), runs=tmp_path, jobs=1)
    from headwater.store import Writer

    Writer(tmp_path / "other").close()
    with pytest.raises(InputError, match="holds a run"):
        swept(spec(name="other"), Gives("small"), runs=tmp_path, jobs=1)


def test_a_training_whose_process_dies_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_TEST_MAY_DIE", "1")
    mark = tmp_path / "mark"
    wanted = spec(axes={"slope": [1.0, 2.0, 3.0]}, experiment="x:y")
    found = swept(wanted, Gives("ends_once", mark=str(mark)), runs=tmp_path, jobs=2)
    assert mark.exists(), "a process did die"
    assert [trial.failure for trial in found.trials] == ["", "", ""]


def test_a_training_that_always_takes_its_process_with_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_TEST_MAY_DIE", "1")
    found = swept(spec(), Gives("always_ends"), runs=tmp_path, jobs=1)
    assert [bool(trial.failure) for trial in found.trials] == [False, True, False]
    assert "died 3 times" in found.trials[1].failure
    assert math.isnan(found.trials[1].metric)


def test_an_error_at_one_point_leaves_the_others_alone(tmp_path: Path) -> None:
    found = swept(spec(), Gives("raises"), runs=tmp_path, jobs=1)
    assert [trial.failure for trial in found.trials] == ["", "ValueError: no such slope", ""]
    note = next(note for note in found.notes if note.id == "sweep.note_failed")
    assert note.values["point"] == "slope 2.0"


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("small", {"axes": {"slpoe": [1.0]}}, "Did you mean slope?"),
        ("ends_once", {}, "needs mark too"),
        ("Experiment", {}, "returned|Did you mean|there is no setting"),
    ],
)
def test_an_experiment_that_does_not_fit_is_told(tmp_path: Path, name: str, changed: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        swept(spec(**changed), Gives(name), runs=tmp_path, jobs=1)
    assert not (tmp_path / "s").exists()


def test_choices_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Ray cluster"):
        swept(spec(), Gives("small"), runs=tmp_path, address="1.2.3.4:5")
    with pytest.raises(InputError, match="whole number from 1"):
        swept(spec(), Gives("small"), runs=tmp_path, jobs=0)
    with pytest.raises(InputError, match="no engine"):
        swept(spec(), Gives("small"), runs=tmp_path, engine="rya")  # type: ignore[arg-type]


EDGE = """
name = "edge"
steps = 30
[axes]
depth = [2, 30]
sigma_w = [0.3, 1.5]
[fixed]
width = 16
sigma_b = 0.05
learning_rate = 0.1
"""


def swept_by_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return headwater("sweep", *arguments, cwd=folder)


def test_command_draws_the_map_with_theorys_line(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(EDGE)
    done = swept_by_command(tmp_path, "edge.toml", "--jobs", "1", "--html", "edge.html")
    assert done.returncode == 0, done.stderr
    assert "Sweep edge: 4 trainings" in done.stdout
    assert "6 ξ_c" in done.stdout
    page = (tmp_path / "edge.html").read_text(encoding="utf-8")
    assert "6 ξ_c" in page
    assert "<script" not in page
    again = swept_by_command(tmp_path, "edge.toml", "--json")
    data = json.loads(again.stdout)
    assert data["schema"] == "headwater/sweep/1"
    assert data["missing"] == 0
    deep = {trial["point"]["sigma_w"]: trial for trial in data["trials"] if trial["point"]["depth"] == 30}
    assert deep[0.3]["gradient_decades"] < -10, "σ_w = 0.3 loses half a decade a layer"
    assert abs(deep[1.5]["gradient_decades"]) < 3
    shallow = [trial["metric"] for trial in data["trials"] if trial["point"] == {"depth": 2, "sigma_w": 1.5}]
    assert shallow[0] > deep[0.3]["metric"]
    korean = swept_by_command(tmp_path, "edge.toml", "--lang", "ko")
    assert "스윕 edge: 학습 4회" in korean.stdout


def test_command_names_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(EDGE.replace("steps", "stepz"))
    done = swept_by_command(tmp_path, "edge.toml")
    assert done.returncode == 2
    assert "edge.toml, line 3: there is no key 'stepz'. Did you mean steps?" in done.stderr
    assert not (tmp_path / "runs").exists()


SLOW = """
import time, torch
from torch import nn
from headwater import Experiment

def experiment(slope):
    time.sleep(0.3)
    x = torch.linspace(-1, 1, 32)[:, None]
    return Experiment(
        model=lambda: nn.Linear(1, 1), batches=lambda: [(x, slope * x)],
        loss=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1]),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1), validation=lambda: [(x, slope * x)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_command_goes_on_after_an_interruption_and_after_a_kill(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "own.py").write_text(SLOW)
    slopes = [float(i) for i in range(12)]
    (tmp_path / "own.toml").write_text(f'experiment = "own.py:experiment"\nsteps = 3\n[axes]\nslope = {slopes}\n')
    command = [sys.executable, "-m", "headwater", "sweep", "own.toml", "--jobs", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    from headwater.store import Recording

    def done() -> int:
        folder = tmp_path / "runs" / "own"
        if not (folder / "run.json").exists():
            return 0
        return sum(event.message.id == "sweep.trial" for event in Recording(folder).events())

    while done() < 2:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert "trainings so far" in out
        assert "goes on from there" in err
    kept = done()
    assert 2 <= kept < 12
    rest = swept_by_command(tmp_path, "own.toml", "--jobs", "1", "--json")
    assert rest.returncode == 0, rest.stderr
    data = json.loads(rest.stdout)
    assert len(data["trials"]) == 12
    assert any(note["id"] == "sweep.note_resumed" and note["values"]["count"] == kept for note in data["notes"])


def test_the_map_in_the_documentation_is_a_file_that_works() -> None:
    from headwater.sweeps.spec import read_spec

    read = read_spec(ROOT / "examples" / "edge_of_chaos.toml")
    assert set(read.axes) == {"depth", "sigma_w"}
