"""The inputs taken apart into several narrower normal distributions, each of which is followed by itself.

Over many layers of few units one normal distribution no longer says how inputs differ: a tanh shortens the longest of
them most, a GELU the shortest, and an input that meets flat slopes in one layer meets them in the next. Of narrower
distributions each has its own means, and so its own slopes all the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from headwater.prediction.engine import Engine, Visited
from headwater.prediction.signal import Gradient, Signal, Unknown, matrix

DIRECTIONS = 4  # in which inputs are taken apart, two parts for each; those that the output depends on most
KEPT = 0.2  # of the variance in these directions that each part has itself; docs/log.md compares
FROM = 0.1  # Σ 1/n over the layers; at 0.25 one distribution is off by 0.03 to 0.07 decades
MOST_INPUTS = 4096  # of a sample: the covariance of a part has their square of numbers

_SHAPES = ("Flatten", "Identity")


def is_needed(visited: list[Visited], inputs: list[Signal]) -> bool:
    """Whether this is a chain of dense layers too deep for its width, whose covariances are followed all along.

    Where every activation is homogeneous (ReLU, leaky or with learned slopes), one normal distribution says the same
    to 0.01 decades: no layer treats a long input otherwise than a short one.

    Source:
        Hanin and Rolnick 2018, arXiv:1803.01719: networks of finite width depart from their limit by Σ 1/n.
    """
    if len(inputs) != 1 or inputs[0].gradient is None or inputs[0].mean.numel() > MOST_INPUTS:
        return False
    found = [(v.site.kind, v.signal) for v in visited if v.site.op not in _SHAPES]
    kinds = [kind for kind, _ in found]
    known = [signal for _, signal in found if isinstance(signal, Signal) and signal.gradient is not None]
    if len(known) < len(found) or kinds[:1] != ["affine"] or set(kinds) != {"affine", "activation"}:
        return False
    if not any(v.is_curved for v in visited):
        return False
    widths = [signal.mean.numel() for kind, signal in zip(kinds, known, strict=True) if kind == "affine"]
    is_followed_all_along = all(signal.covariance is not None for signal in known)
    return is_followed_all_along and sum(1 / n for n in widths[:-1]) >= FROM


def parts_of(signal: Signal) -> list[Signal]:
    """Normal distributions of equal weight whose mixture has the signal's mean, covariance and no third moments.

    Their means lie ± along the directions that the mean gradients at the output come from: a cubature of third degree
    (Arasaratnam and Haykin 2009, IEEE Trans. Automat. Contr. 54(6), 1254-1269). None where no gradient arrives.
    """
    assert signal.gradient is not None
    deviation = signal.variance.clamp(min=0).sqrt().reshape(-1)
    reach = signal.gradient.means.reshape(len(signal.gradient.means), -1) * deviation
    size = float(reach.abs().max())
    if not 0 < size < math.inf:
        return []
    _, sizes, directions = torch.linalg.svd(reach / size, full_matrices=False)
    directions = directions[: min(DIRECTIONS, int((sizes > 1e-9 * sizes[0]).sum()))] * deviation
    covariance = torch.diag(signal.variance.reshape(-1)) - (1 - KEPT) * directions.T @ directions
    variance = covariance.diagonal().reshape(signal.mean.shape).clamp(min=0)
    steps = math.sqrt((1 - KEPT) * len(directions)) * directions.reshape(-1, *signal.mean.shape)
    return [
        Signal(signal.mean + sign * step, variance, covariance=covariance) for step in steps for sign in (1.0, -1.0)
    ]


def together(whole: list[Visited], parts: list[Signal], follow: Callable[[Signal], Engine]) -> list[Visited]:
    """Each site of a mixture of such inputs.

    Args:
        whole: What was found for one normal distribution of inputs.
        parts: Of equal weight.
        follow: Sends one of them through the network, and a gradient back.
    """
    sums: list[_Sum] | None = None
    for part in parts:
        found = [_summand(visited.signal) for visited in follow(part).visited]
        sums = found if sums is None else [a + b for a, b in zip(sums, found, strict=True)]
    if sums is None:
        return whole
    return [Visited(v.site, total.mixed(v.signal, len(parts))) for v, total in zip(whole, sums, strict=True)]


@dataclass(eq=False)
class _Sum:
    """Over parts: of means, of second moments, and of the gradient's second moments as its ``variance``."""

    mean: Tensor
    products: Tensor
    gradient: Gradient

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(self.mean + other.mean, self.products + other.products, self.gradient + other.gradient)

    def mixed(self, single: Signal | Unknown, count: int) -> Signal:
        """The signal of the mixture; how much networks differ is that of the single distribution."""
        assert isinstance(single, Signal)
        assert single.gradient is not None
        mean = self.mean / count
        covariance = self.products / count - torch.outer(mean.reshape(-1), mean.reshape(-1))
        result = single.like(mean, covariance.diagonal().reshape(mean.shape).clamp(min=0))
        result.covariance = covariance
        square = self.gradient.variance / count
        result.gradient = Gradient(self.gradient.means, square, single.gradient.spread, self.gradient.exponent)
        return result


def _summand(signal: Signal | Unknown) -> _Sum:
    assert isinstance(signal, Signal)
    assert signal.gradient is not None
    flat = signal.mean.reshape(-1)
    products = matrix(signal.covariance, signal.variance) + torch.outer(flat, flat)
    gradient = signal.gradient
    second = Gradient(torch.zeros_like(gradient.means[:1]), gradient.square, gradient.spread, gradient.exponent)
    return _Sum(signal.mean, products, second)
