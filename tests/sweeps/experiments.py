"""What the tests sweep over: small, and one that ends its own process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headwater.records import Experiment

X = torch.linspace(-1, 1, 64)[:, None]


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))


def _batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    rows = torch.randperm(64)
    return [(X[part], X[part] ** 2) for part in rows.split(16)]


def _loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def _optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05)


def _validation() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(X, X**2)]


def provable() -> Experiment:
    """Of functions that travel by pickle."""
    return Experiment(_model, _batches, _loss, _optimizer, _validation)


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
