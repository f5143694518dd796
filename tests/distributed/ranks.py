"""Trainings of several processes over gloo, as a test starts them: a worker of this file per rank."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import ROOT

WORKER = Path(__file__).with_name("worker.py")


Task = tuple[str, Path, dict[str, Any]]
"""Name of a function of ``worker.py``, the folder it records into, and what else it is given."""


def launch(world: int, tasks: list[Task]) -> list[subprocess.Popen[str]]:
    """Start ranks that do one task after the other: what costs time is to start them.

    Args:
        world: How many.
        tasks: What they do.
    """
    told = json.dumps([(name, str(folder), settings) for name, folder, settings in tasks])
    port = _free_port()
    ranks = []
    for rank in range(world):
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "RANK": str(rank),
            "WORLD_SIZE": str(world),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        arguments = [sys.executable, "-W", "ignore", str(WORKER), told]
        ranks.append(
            subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        )
    return ranks


def finish(ranks: list[subprocess.Popen[str]], timeout: float = 500) -> list[Any]:
    """What each rank has printed as JSON, in order; whatever happens, none of them is left running.

    Raises:
        AssertionError: If one of them failed.
    """
    outputs = []
    try:
        for rank in ranks:
            out, err = rank.communicate(timeout=timeout)
            assert rank.returncode == 0, err
            outputs.append(json.loads(out.strip().splitlines()[-1]) if out.strip() else None)
    finally:
        for rank in ranks:
            rank.kill()
    return outputs


def run(world: int, tasks: list[Task]) -> list[Any]:
    """What each rank's tasks come to, by the names of their folders."""
    return finish(launch(world, tasks))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
