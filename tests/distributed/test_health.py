"""What becomes of a run when ranks are killed, lag or are alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import headwater as hw
from headwater.cli.main import cli
from headwater.recorded.why import why
from tests.distributed.conftest import Trainings
from tests.distributed.ranks import launch

pytestmark = pytest.mark.timeout(900)  # the first test of all waits for the trainings of every rank


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks of DDP, of which one was killed on the way."""
    folder = tmp_path_factory.mktemp("killed") / "ranks"
    ranks = launch(2, [("train", folder, {"kind": "ddp", "steps": 100_000, "pause": 0.005, "told": True})])
    told = folder / "told-1"
    deadline = time.monotonic() + 300
    try:
        while not told.exists() or len(told.read_text().split()) < 12:
            assert time.monotonic() < deadline, [rank.poll() for rank in ranks]
            assert all(rank.poll() is None for rank in ranks), ranks[0].communicate()
            time.sleep(0.02)
        os.kill(ranks[1].pid, signal.SIGKILL)
        for rank in ranks:
            rank.communicate(timeout=120)
    finally:
        for rank in ranks:
            rank.kill()
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
    states = {state.rank: state for state in run.health()}
    assert states[1].name == "lost"
    assert states[0].name == "ended"
    last = acknowledged(killed, 1)[-1]
    assert states[1].last_step is not None
    assert last <= states[1].last_step <= last + 2
    assert f"Rank 1 is lost: it was last heard at step {states[1].last_step}" in str(states[1].message)
    assert run.state.name == "broken"
    assert len(run) >= len(acknowledged(killed, 1))


def test_commands_say_so(killed: Path) -> None:
    run = str(killed / "run")
    listed = CliRunner().invoke(cli, ["runs", str(killed)])
    assert (listed.exit_code, "Rank 1 is lost" in listed.output) == (0, True), listed.output
    explained = CliRunner().invoke(cli, ["why", run, "--json"])
    evidence = [message["text"] for message in json.loads(explained.output)["evidence"]]
    assert any("Rank 1 is lost" in text for text in evidence)
    alone = CliRunner().invoke(cli, ["why", run, "--rank", "9"])
    assert (alone.exit_code, "run has nothing of rank 9; there is 0, 1." in alone.output) == (2, True), alone.output


@pytest.mark.parametrize("rank", [[], ["--rank", "1"]])
def test_page_and_tables_are_of_all_ranks_or_of_one(trainings: Trainings, tmp_path: Path, rank: list[str]) -> None:
    run = str(trainings.run("ddp"))
    page = CliRunner().invoke(cli, ["report", run, "-o", str(tmp_path / "a.html"), "--json", *rank])
    assert page.exit_code == 0, page.output
    assert (tmp_path / "a.html").stat().st_size > 10_000
    tables = CliRunner().invoke(cli, ["export", run, "--to", "csv", "--out", str(tmp_path / "tables"), *rank])
    assert tables.exit_code == 0, tables.output
    with (tmp_path / "tables" / "steps.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row.get("rank") for row in rows} == ({None} if rank else {"0", "1"})
    assert len(rows) == 12 * (1 if rank else 2)
    same = CliRunner().invoke(cli, ["compare", run, run, "--json", *rank])
    assert json.loads(same.output)["differences"] == []


def test_rank_that_the_others_wait_for_is_named(trainings: Trainings) -> None:
    states = hw.open_run(trainings.run("slow")).health()
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


def test_world_of_one_is_a_single_process(trainings: Trainings) -> None:
    """As under torchrun with one rank, wrapped as for many."""
    run = hw.open_run(trainings.run("ddp-1"))
    assert type(run) is hw.Run
    assert len(run) == 12
    assert run.place.world_size == 1
    assert all(finding.symptom != "not_synchronised" for finding in run.report().findings)
