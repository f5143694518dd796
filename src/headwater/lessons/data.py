"""The data lessons are run on: real ones that come with scikit-learn, and a few curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headwater.demo import digits as _digits
from headwater.records import InputError


@dataclass(frozen=True)
class Split:
    """Inputs and targets, to train on and to test on.

    Attributes:
        x: (samples, features), standardised by the training part.
        y: Classes, or (samples, outputs) of a curve.
        test_x: The same, held out.
        test_y: The same, held out.
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    def first(self, samples: int) -> Split:
        """With so few samples to train on."""
        return Split(self.x[:samples], self.y[:samples], self.test_x, self.test_y)


def digits() -> Split:
    """The 1,797 handwritten 8×8 digits, split 80 : 20."""
    (x, y), (test_x, test_y) = _digits()
    return Split(x, y, test_x, test_y)


def circles(samples: int = 1000, noise: float = 0.05, seed: int = 0) -> Split:
    """Two rings, one inside the other: (samples, 2) and two classes."""
    x, y = _sklearn().make_circles(samples, noise=noise, factor=0.5, random_state=seed)
    return _split(x, y, seed)


def moons(samples: int = 1000, noise: float = 0.15, seed: int = 0) -> Split:
    """Two half moons that reach into each other."""
    x, y = _sklearn().make_moons(samples, noise=noise, random_state=seed)
    return _split(x, y, seed)


def breast_cancer(seed: int = 0) -> Split:
    """569 tumours by 30 measurements of their cells, benign or malignant (Wolberg et al., UCI)."""
    x, y = _sklearn().load_breast_cancer(return_X_y=True)
    return _split(x, y, seed)


def _sklearn() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise InputError('the data of this lesson come with scikit-learn: pip install "headwater[demo]"') from error
    return datasets


def _split(x: Any, y: Any, seed: int) -> Split:
    inputs, classes = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.int64)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    train, test = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]
    mean, spread = inputs[train].mean(0), inputs[train].std(0).clamp(min=1e-3)
    inputs = (inputs - mean) / spread
    return Split(inputs[train], classes[train], inputs[test], classes[test])
