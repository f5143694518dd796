"""Trainings of several ranks, done once for all tests: starting a process costs more than they do."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import Task, run

TASKS: dict[int, dict[str, tuple[str, dict[str, Any]]]] = {
    1: {
        "one-of-2": ("single", {"ranks": 2}),
        "one-of-2-accumulated": ("single", {"ranks": 2, "micro": 2}),
        "one-of-4": ("single", {"ranks": 4}),
        "one-of-1": ("single", {"ranks": 1}),
        "ddp-1": ("train", {"kind": "ddp"}),
        "one-even": ("single", {"ranks": 1, "width": 14, "hidden": 12}),
    },
    2: {
        "ddp": ("train", {"kind": "ddp"}),
        "ddp-unwatched": ("train", {"kind": "ddp", "watched": False}),
        "ddp-accumulated": ("train", {"kind": "ddp", "micro": 2}),
        "fsdp": ("train", {"kind": "fsdp"}),
        "fsdp-unwatched": ("train", {"kind": "fsdp", "watched": False}),
        "fsdp-accumulated": ("train", {"kind": "fsdp", "micro": 2}),
        "fsdp-mixed": ("train", {"kind": "fsdp", "mixed": True}),
        "fsdp-mixed-accumulated": ("train", {"kind": "fsdp", "mixed": True, "micro": 2}),
        "fsdp-mixed-unwatched": ("train", {"kind": "fsdp", "mixed": True, "micro": 2, "watched": False}),
        "slow": ("slow", {}),
        "nan": ("nan", {}),
        "same-data": ("same_data", {}),
        "unwrapped": ("train", {"kind": "none"}),
        "uneven": ("uneven", {}),
        "idle": ("idle", {}),
        "tensor": ("tensor_parallel", {}),
        "tensor-unwatched": ("tensor_parallel", {"watched": False}),
        "pipeline": ("pipeline", {}),
        "other-model": ("other_model", {}),
        "batchnorm": ("batchnorm", {"batch": 4}),
        "batchnorm-wide": ("batchnorm", {"batch": 24}),
    },
    4: {
        "ddp-4": ("train", {"kind": "ddp"}),
        "fsdp-4": ("train", {"kind": "fsdp"}),
        "hsdp-4": ("train", {"kind": "hsdp"}),
        "unscaled": ("unscaled", {"strange": 2}),
    },
}
"""By how many ranks do them: a name, which task of the worker, and what it is given."""


class Trainings:
    """What the ranks have left.

    Args:
        root: Where a folder per name lies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, name: str) -> Path:
        """The run that was recorded under a name."""
        return self.root / name / "run"

    def told(self, name: str) -> list[Any]:
        """What each rank of a task came to."""
        world = next(world for world, tasks in TASKS.items() if name in tasks)
        return [rank[name] for rank in json.loads((self.root / f"{world}.json").read_text())]


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """All of them; where tests run in several processes, the first to ask does them for all."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trainings"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for world, tasks in TASKS.items():
            done = root / f"{world}.json"
            if not done.exists():
                chosen: list[Task] = [(task, root / name, how) for name, (task, how) in tasks.items()]
                done.write_text(json.dumps(run(world, chosen)))
    return Trainings(root)
