"""What the tests sweep over: small, and one that ends its own process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn

from headwater.records import Experiment


def small(slope: float = 1.0, rate: float = 0.1) -> Experiment:
    """A line to be learnt."""
    x = torch.linspace(-1, 1, 32)[:, None]
    y = slope * x
    return Experiment(
        model=lambda: nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)),
        batches=lambda: [(x, y)],
        loss=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1]),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=rate),
        validation=lambda: [(x, y)],
    )


def ends_once(mark: str, slope: float = 1.0) -> Experiment:
    """Ends its process the first time it is made with a slope of 2; ``mark`` is a file that says it has."""
    if slope == 2.0 and not Path(mark).exists() and os.environ.get("HEADWATER_TEST_MAY_DIE"):
        Path(mark).write_text("gone")
        os._exit(9)
    return small(slope)


def always_ends(slope: float = 1.0) -> Experiment:
    """Ends its process with a slope of 2, each time."""
    if slope == 2.0 and os.environ.get("HEADWATER_TEST_MAY_DIE"):
        os._exit(9)
    return small(slope)


def slow(slope: float = 1.0, takes_s: float = 0.0) -> Experiment:
    """Takes its time before it begins."""
    time.sleep(takes_s)
    return small(slope)


def ends_off_driver(slope: float = 1.0) -> Experiment:
    """Ends a worker of Ray's with a slope of 2."""
    import ray

    if slope == 2.0 and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        os._exit(9)
    return small(slope)


def raises(slope: float = 1.0) -> Experiment:
    """Cannot be made with a slope of 2."""
    if slope == 2.0:
        raise ValueError("no such slope")
    return small(slope)
