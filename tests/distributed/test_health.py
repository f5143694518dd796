"""What becomes of a run when ranks are killed, lag or are alone."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

import headwater as hw
from headwater.recorded.why import why
from tests.distributed.conftest import Trainings
from tests.distributed.ranks import finish, launch
from tests.helpers import headwater


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks of DDP, of which one was killed on the way."""
    folder = tmp_path_factory.mktemp("killed") / "ranks"
    ranks = launch(2, [("train", folder, {"kind": "ddp", "steps": 100_000, "pause": 0.005, "told": True})])
    told = folder / "told-1"
    deadline = time.monotonic() + 120
    while not told.exists() or len(told.read_text().split()) < 12:
        assert time.monotonic() < deadline, [rank.poll() for rank in ranks]
        assert all(rank.poll() is None for rank in ranks), ranks[0].communicate()
        time.sleep(0.02)
    os.kill(ranks[1].pid, signal.SIGKILL)
    for rank in ranks:
        rank.communicate(timeout=120)
    assert ranks[0].returncode not in (0, None), "gloo has told it that the other is gone"
    return folder


def acknowledged(folder: Path, rank: int) -> list[int]:
    """Steps whose optimizer had returned: the rank wrote down each of them itself."""
    return [int(step) for step in (folder / f"told-{rank}").read_text().split()]


@pytest.mark.parametrize("rank", [0, 1])
def test_kill_of_one_rank_loses_nothing_of_any(killed: Path, rank: int) -> None:
    run = hw.open_run(killed / "run", rank=rank)
    steps = [int(step) for step in run.read("activation_rms")[0]]
    assert steps[: len(acknowledged(killed, rank))] == acknowledged(killed, rank)
    assert not run.damage


def test_killed_rank_is_named_with_the_step_it_was_last_heard_at(killed: Path) -> None:
    run = hw.open_run(killed / "run")
    states = {state.rank: state for state in run.health()}  # type: ignore[attr-defined]
    assert states[1].name == "lost"
    assert states[0].name == "ended"
    last = acknowledged(killed, 1)[-1]
    assert states[1].last_step is not None
    assert last <= states[1].last_step <= last + 2
    assert f"Rank 1 is lost: it was last heard at step {states[1].last_step}" in str(states[1].message)
    assert run.state.name == "broken"
    assert len(run) >= len(acknowledged(killed, 1))


def test_commands_say_so(killed: Path) -> None:
    listed = headwater("runs", ".", cwd=killed)
    assert listed.returncode == 0, listed.stderr
    assert "Rank 1 is lost" in listed.stdout
    explained = headwater("why", "run", "--json", cwd=killed)
    evidence = [message["text"] for message in json.loads(explained.stdout)["evidence"]]
    assert any("Rank 1 is lost" in text for text in evidence)
    alone = headwater("why", "run", "--rank", "9", cwd=killed)
    assert alone.returncode == 2
    assert "run has nothing of rank 9; there is 0, 1." in alone.stderr


def test_rank_that_the_others_wait_for_is_named(trainings: Trainings) -> None:
    states = hw.open_run(trainings.run("slow")).health()  # type: ignore[attr-defined]
    assert [state.name for state in states] == ["ended", "slow"]
    assert "The others wait for rank 1" in str(states[1].message)


def test_first_rank_with_nan_is_named(trainings: Trainings) -> None:
    """Rank 1's batch holds NaN at one step; by the mean of gradients all weights are NaN from there on."""
    run = hw.open_run(trainings.run("nan"))
    found = why(run)
    assert (found.verdict, found.rank, found.step, found.kind) == ("nonfinite", 1, 7, "input")
    assert "It broke first on rank 1 of 2." in [str(message) for message in found.evidence]
    report = run.report()
    assert report.findings[0].symptom == "nonfinite"


def test_world_of_one_is_a_single_process(tmp_path: Path) -> None:
    """Under torchrun with one rank, wrapped as for many."""
    finish(launch(1, [("train", tmp_path / "one", {"kind": "ddp"})]))
    run = hw.open_run(tmp_path / "one" / "run")
    assert type(run) is hw.Run
    assert len(run) == 12
    assert run.place.world_size == 1
    assert all(finding.symptom != "not_synchronised" for finding in run.report().findings)
