"""The data of the lab: those of the lessons, three more curves, and files of the user's own."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from headwater.lab.csv_data import Uploaded
from headwater.lab.spec import Spec
from headwater.lessons import data as lessons
from headwater.lessons.data import Split


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
    inputs, targets = torch.tensor(uploaded.inputs), torch.tensor(uploaded.targets)
    return Split(*divided(inputs, targets, is_class=uploaded.task == "classes"))


def spirals() -> Split:
    """Three arms that wind round each other: (samples, 2) and three classes."""
    return Split(*divided(*spiral_points()))


def curve() -> Split:
    """The curve sin 3x + sin 9x / 3 with noise: (samples, 1) and one number."""
    return Split(*divided(*curve_points(), is_class=False))


# What follows is copied into exported scripts as it stands: torch is all it needs.


def spiral_points() -> tuple[Tensor, Tensor]:
    """A thousand points on three arms, one and a half turns each, and which arm each is on."""
    generator = torch.Generator().manual_seed(0)
    arm = torch.arange(1000) % 3
    along = torch.rand(1000, generator=generator)
    angle = 3 * torch.pi * along + 2 * torch.pi * arm / 3
    points = torch.stack([along * angle.cos(), along * angle.sin()], 1)
    return points + 0.025 * torch.randn(1000, 2, generator=generator), arm


def curve_points() -> tuple[Tensor, Tensor]:
    """Five hundred x between -1 and 1, and y = sin 3x + sin 9x / 3 with noise."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(500, 1, generator=generator) - 1
    return x, (3 * x).sin() + (9 * x).sin() / 3 + 0.05 * torch.randn(500, 1, generator=generator)


def divided(inputs: Tensor, targets: Tensor, is_class: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples in an order of chance, 80 : 20, standardised by the training part; so are targets that are numbers."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]
    x = standardised(inputs.float(), train)
    y = targets.long() if is_class else standardised(targets.float().reshape(len(targets), 1), train)
    return x[train], y[train], x[test], y[test]


def standardised(values: Tensor, train: Tensor) -> Tensor:
    """Values less their mean, over their spread; both are those of the training part."""
    mean, spread = values[train].mean(0), values[train].std(0).clamp(min=1e-3)
    return (values - mean) / spread
