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
        "folds": folds,
        "surface": surface,
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


def folds() -> Split:
    """The line from -1 to 1 folded into eight pieces: (samples, 1) and one number between -1 and 1."""
    return Split(*divided(*fold_points(), is_class=False, is_scaled=False))


def surface() -> Split:
    """The wavy surface of the lesson on output activations: (samples, 2) and one number between -0.9 and 0.9."""
    return Split(*divided(*surface_points(), is_class=False, is_scaled=False))


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


def fold_points() -> tuple[Tensor, Tensor]:
    """A thousand x between -1 and 1, and the height of a line that is folded three times, from -1 to 1."""
    x = 2 * torch.rand(1000, 1, generator=torch.Generator().manual_seed(0)) - 1
    height = x
    for _ in range(3):
        height = 2 * height.abs() - 1
    return x, height


def surface_points() -> tuple[Tensor, Tensor]:
    """A thousand points of the square from -1 to 1, and the height 0.9 sin(4x) cos(3y) at each."""
    points = 2 * torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) - 1
    return points, 0.9 * (4 * points[:, :1]).sin() * (3 * points[:, 1:]).cos()


def divided(
    inputs: Tensor, targets: Tensor, is_class: bool = True, is_scaled: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples in an order of chance, 80 : 20, standardised by the training part; so are numbers as targets if asked."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]
    x = standardised(inputs.float(), train)
    y = targets.long() if is_class else targets.float().reshape(len(targets), 1)
    if is_scaled and not is_class:
        y = standardised(y, train)
    return x[train], y[train], x[test], y[test]


def standardised(values: Tensor, train: Tensor) -> Tensor:
    """Values less their mean, over their spread; both are those of the training part."""
    mean, spread = values[train].mean(0), values[train].std(0).clamp(min=1e-3)
    return (values - mean) / spread
