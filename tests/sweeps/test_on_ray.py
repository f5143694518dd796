"""Sweeps on a real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.api import prove
from headwater.records import InputError
from headwater.sweeps.sweeping import swept
from headwater.sweeps.trial import Task, run_job
from tests.sweeps import experiments
from tests.sweeps.experiments import provable
from tests.sweeps.test_sweep import Gives, spec

ray = pytest.importorskip("ray")

# A worker loads torch, and eight of them at a time would take the memory of a small machine.
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        yield made
    finally:
        made.shutdown()


def test_a_node_is_killed_in_the_middle_and_every_training_is_there(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    slopes = [float(i) for i in range(10)]
    wanted = spec(axes={"slope": slopes}, fixed={"takes_s": 0.3})
    killed: list[int] = []

    def kill_one(_: str, done: int, total: int) -> None:
        if done == 3 and not killed:
            killed.append(done)
            cluster.remove_node(second, allow_graceful=False)

    found = swept(wanted, Gives("slow"), runs=tmp_path, engine="ray", address=cluster.address, progress=kill_one)
    assert killed == [3]
    assert found.missing == 0
    assert [trial.failure for trial in found.trials] == [""] * len(slopes)
    task = Task(Gives("small"), {}, wanted.steps)
    for job, trial in zip(wanted.jobs(), found.trials, strict=True):
        alone = run_job(experiments.slow, task, job)
        assert (trial.metric, trial.loss) == (alone.metric, alone.loss), "the numbers are those of one process here"


@pytest.mark.slow
def test_a_training_that_ends_its_worker_is_told_and_the_others_are_made(cluster: Any, tmp_path: Path) -> None:
    found = swept(spec(), Gives("ends_off_driver"), runs=tmp_path, engine="ray", address=cluster.address)
    assert [bool(trial.failure) for trial in found.trials] == [False, True, False]
    assert "died 3 times" in found.trials[1].failure


def test_a_proof_gives_the_same_numbers_as_here(cluster: Any) -> None:
    cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    experiment = provable()
    here = prove(experiment, ["init.he"], seeds=3, steps=5, rates=(1.0,))
    there = prove(experiment, ["init.he"], seeds=3, steps=5, rates=(1.0,), engine="ray", address=cluster.address)
    assert [(arm.name, arm.metrics, arm.losses) for arm in there.arms] == [
        (arm.name, arm.metrics, arm.losses) for arm in here.arms
    ]
    assert there.verdict == here.verdict
    assert there.processes == 2, "the cluster made the runs"
    assert not [note.id for note in there.notes if note.id.startswith("proof.note_")]


def test_an_address_that_nobody_answers_at_is_told_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        swept(spec(), Gives("small"), runs=tmp_path, engine="ray", address="127.0.0.1:9")
    assert time.monotonic() - began < 30
