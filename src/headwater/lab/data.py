"""The data of the lab: those of the lessons, three more curves, and files of the user's own."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from headwater.lab.csv_data import Uploaded
from headwater.lab.spec import Spec
from headwater.lessons import data as lessons
from headwater.lessons.data import Split

_POINTS, _TEST_POINTS = 300, 200
_ARMS = 3
_NOISE = 0.05


def split_of(spec: Spec, uploaded: Uploaded | None = None) -> Split:
    """Samples to train and to test on.

    Args:
        spec: Which data, and how many of them.
        uploaded: Where they are the user's own.
    """
    whole = _of_upload(uploaded) if uploaded is not None else _made(spec.data)
    return whole.first(spec.samples) if spec.samples else whole


@lru_cache(maxsize=16)
def _made(name: str) -> Split:
    """Kept, as all labs of a process share them; nobody writes into them."""
    makers = {
        "digits": lessons.digits,
        "circles": lessons.circles,
        "moons": lessons.moons,
        "breast_cancer": lessons.breast_cancer,
        "spirals": spirals,
        "curve": curve,
    }
    return makers[name]()


@lru_cache(maxsize=16)
def _of_upload(uploaded: Uploaded) -> Split:
    return split(torch.tensor(uploaded.inputs), torch.tensor(uploaded.targets), is_class=uploaded.task == "classes")


def spirals(samples: int = 1000) -> Split:
    """Three arms that wind round each other one and a half times: (samples, 2) and three classes."""
    generator = torch.Generator().manual_seed(0)
    arm = torch.arange(samples) % _ARMS
    along = torch.rand(samples, generator=generator)
    angle = 3 * math.pi * along + 2 * math.pi * arm / _ARMS
    points = torch.stack([along * angle.cos(), along * angle.sin()], 1)
    return split(points + _NOISE / 2 * torch.randn(samples, 2, generator=generator), arm)


def curve() -> Split:
    """Y = sin 3x + sin 9x / 3 with noise: (samples, 1) on [-1, 1], and one number."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(_POINTS + _TEST_POINTS, 1, generator=generator) - 1
    y = (3 * x).sin() + (9 * x).sin() / 3 + _NOISE * torch.randn(len(x), 1, generator=generator)
    return split(x, y, is_class=False)


def split(inputs: Tensor, targets: Tensor, is_class: bool = True) -> Split:
    """Samples in an order of chance, 80 : 20, standardised by the training part; so are targets that are numbers."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]
    x = _standardised(inputs.float(), train)
    y = targets.long() if is_class else _standardised(targets.float().reshape(len(targets), 1), train)
    return Split(x[train], y[train], x[test], y[test])


def _standardised(values: Tensor, train: Tensor) -> Tensor:
    mean, spread = values[train].mean(0), values[train].std(0).clamp(min=1e-3)
    return (values - mean) / spread
