"""The examples of several ranks, started as their first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import headwater as hw
from tests.helpers import EXAMPLES, ROOT

pytestmark = pytest.mark.timeout(900)  # the first test of all waits for the trainings of every rank

SAID = {"ddp": "2 ranks, ", "fsdp": "2 ranks, loss "}


def test_every_example_of_ranks_is_tested() -> None:
    assert {path.stem for path in (EXAMPLES / "distributed").glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_example_runs_under_torchrun(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    script = EXAMPLES / "distributed" / f"{name}.py"
    done = subprocess.run([*command, script, tmp_path / "run"], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert SAID[name] in done.stdout
    run = hw.open_run(tmp_path / "run")
    assert run.ranks == [0, 1]
    assert run.report().verdict in ("healthy", "findings"), done.stdout
    loss = run.scalars()["loss"].values
    assert loss[-1] < 0.7 * loss[0]
    assert not {finding.symptom for finding in run.report().findings} & {"not_synchronised", "same_data", "rank_data"}
