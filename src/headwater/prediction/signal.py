"""What is known of a tensor of the network before any data: of each element its mean and variance over the inputs.

Means go through the weights exactly as they are. So do covariances, where a sample is a vector of up to
:data:`MOST_UNITS` units; elsewhere variances go through the weights' squares: deviations of different elements from
their means are taken to be uncorrelated, which they are on average over the weights' signs (mean-field theory).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from headwater.records import Message
from headwater.theory import Activation

MOST_TERMS = 32
MOST_UNITS = 512  # of a vector whose covariances are followed: it takes their cube of operations per layer


@dataclass(eq=False)
class Gradient:
    """Of the gradient at a tensor, for several directions of the gradient at the output; in units of 2**``exponent``.

    Attributes:
        means: Mean over the inputs, of shape (directions, *shape).
        variance: Variance over the inputs, mean over the directions, of shape ``shape``.
        spread: Variance of ln of the mean square from one draw of the weights to another.
        exponent: Of the unit; a gradient that has vanished is far below what float64 squares.
        covariance: Over the inputs, mean over the directions, (units, units); ``None`` where it is not followed.
        slopes: E[φ′] and E[φ′²] of the activation that the tensor comes from, where the gradient arrives: what max
            pooling picks has other slopes than the rest. ``None`` where they are the same everywhere.
    """

    means: Tensor
    variance: Tensor
    spread: float = 0.0
    exponent: int = 0
    covariance: Tensor | None = None
    slopes: tuple[Tensor, Tensor] | None = None

    @property
    def square(self) -> Tensor:
        """Second moment of each element."""
        return self.variance + self.means.square().mean(0)

    @property
    def log10_rms(self) -> float:
        """-inf for a gradient of zeros."""
        rms = _root_mean(self.square)
        if math.isnan(rms):
            return math.nan
        return math.log10(rms) + self.exponent * math.log10(2.0) if rms > 0 else -math.inf

    def normalised(self) -> Gradient:
        """The same in units of about its largest element."""
        top = float(self.square.max()) if self.variance.numel() else 0.0
        return self.in_units(self.exponent + round(math.log2(top) / 2)) if 0 < top < math.inf else self

    def in_units(self, exponent: int) -> Gradient:
        """The same in units of 2**exponent."""
        factor = 2.0 ** max(-1000, self.exponent - exponent)
        covariance = None if self.covariance is None else self.covariance * factor * factor
        means, variance = self.means * factor, self.variance * factor * factor
        return Gradient(means, variance, self.spread, exponent, covariance, self.slopes)

    def __add__(self, other: Gradient) -> Gradient:
        """Of two paths that the gradient takes."""
        if self.exponent != other.exponent:
            unit = max(self.exponent, other.exponent)
            return self.in_units(unit) + other.in_units(unit)
        return Gradient(
            self.means + other.means,
            self.variance + other.variance,
            mixed_spread(
                (float(self.square.sum()), self.spread),
                (float(other.square.sum()), other.spread),
            ),
            self.exponent,
            summed(self.covariance, other.covariance),
        )


Terms: TypeAlias = "dict[int, tuple[Signal, Tensor | float]]"


@dataclass(eq=False, frozen=True)
class Source:
    """The normal variable that an activation was taken of.

    Attributes:
        mean: Of each element of its input.
        variance: Of each element.
        activation: φ.
        parameters: Its slopes or bounds; a tensor of slopes holds one per channel, dimension 1.
    """

    mean: Tensor
    variance: Tensor
    activation: Activation
    parameters: dict[str, Any]


@dataclass(eq=False)
class Signal:
    """Of an activation: mean and variance over the inputs, both of the shape that one sample has, batch of 1 first.

    Attributes:
        mean: Of each element.
        variance: Of each element, ≥ 0.
        spread: Variance of ln of the mean square from one draw of the weights to another, before the last affine map.
        units: Outputs of the last affine map, of which the mean square is an average; infinite before the first.
        kurtosis: E[x⁴] / E[x²]² of what is averaged.
        covariance: Of a vector, (units, units) with the variances on the diagonal; ``None`` where it is not followed.
        terms: Signals that it is a sum of, by identity, each with its factor: two sums that have one in common do not
            vary independently. ``None`` if it is only itself.
        source: What it is an activation of, ``None`` for anything else.
        is_trained: Whether any parameter had a part in it, so that a gradient arrives.
        gradient: That arrives from everything that takes it.
    """

    mean: Tensor
    variance: Tensor
    spread: float = 0.0
    units: float = math.inf
    kurtosis: float = 3.0
    covariance: Tensor | None = None
    terms: Terms | None = field(default=None, repr=False)
    source: Source | None = field(default=None, repr=False)
    is_trained: bool = False
    gradient: Gradient | None = field(default=None, repr=False)

    @property
    def square(self) -> Tensor:
        """Second moment of each element."""
        return self.variance + self.mean.square()

    @property
    def total_spread(self) -> float:
        """Variance of ln of the mean square from one draw of the weights to another."""
        return self.spread + (self.kurtosis - 1.0) / self.units

    @property
    def rms(self) -> float:
        return _root_mean(self.square)

    @property
    def abs_cosine(self) -> float | None:
        """Expected |cos| between the tensor for two independent inputs.

        Their product has mean ‖m‖² and variance 2 mᵀCm + tr C²; it is taken to be normal, and the lengths to be what
        they are on average.
        """
        length = float(self.square.sum())
        if not length > 0 or not math.isfinite(length):
            return None
        mean = float(self.mean.square().sum()) / length
        if self.covariance is None:
            square = float((2 * self.mean.square() * self.variance + self.variance.square()).sum())
        else:
            m = self.mean.reshape(-1)
            square = float(2 * m @ self.covariance @ m + self.covariance.square().sum())
        deviation = math.sqrt(max(0.0, square)) / length
        return _mean_magnitude(mean, deviation)

    def like(self, mean: Tensor, variance: Tensor) -> Signal:
        """The same with other elements, none of which a weight was drawn for."""
        return Signal(mean, variance, self.spread, self.units, self.kurtosis)

    def parts(self, factor: Tensor | float = 1.0) -> Terms:
        """Of the signal times ``factor``: what it is a sum of, deviations only."""
        if self.terms is None:
            return {id(self): (self, factor)}
        if isinstance(factor, float) and factor == 1.0:
            return self.terms
        return {key: (term, own * factor) for key, (term, own) in self.terms.items()}

    def receive(self, gradient: Gradient) -> None:
        """Add the gradient that one more user of the tensor sends back."""
        self.gradient = gradient if self.gradient is None else self.gradient + gradient


@dataclass(eq=False, frozen=True)
class Unknown:
    """A tensor of which nothing can be said.

    Attributes:
        why: The operation nothing is known behind.
    """

    why: Message


def is_followed(x: Tensor) -> bool:
    """Whether a sample of this shape is a vector whose covariances are followed."""
    return x.dim() == 2 and x.numel() <= MOST_UNITS


def in_common(left: Signal, right: Signal) -> list[tuple[Signal, Tensor | float, Tensor | float]]:
    """What two signals are both sums of, with its factor in each."""
    own, other = left.parts(), right.parts()
    return [(term, factor, other[key][1]) for key, (term, factor) in own.items() if key in other]


def latest(terms: Terms) -> Terms:
    """As many as are kept: a stream of hundreds of blocks is a sum of as many, and few of them meet again."""
    return dict(list(terms.items())[-MOST_TERMS:])


def matrix(covariance: Tensor | None, variance: Tensor) -> Tensor:
    """The covariances of a vector; without any, its elements vary independently."""
    return torch.diag(variance.reshape(-1)) if covariance is None else covariance


def summed(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    """Of a sum of independent vectors; not known where one is not."""
    return None if left is None or right is None else left + right


def mixed_spread(*parts: tuple[float, float]) -> float:
    """Of a sum of independent mean squares, each with its size and its own spread."""
    total = sum(size for size, _ in parts)
    return sum((size / total) ** 2 * spread for size, spread in parts) if total > 0 else max(s for _, s in parts)


def _root_mean(square: Tensor) -> float:
    # Means of 1e-320 are still numbers; scaled to the largest they lose nothing.
    top = float(square.max()) if square.numel() else 0.0
    if not top > 0 or not math.isfinite(top):
        return math.sqrt(top) if top >= 0 else math.nan
    return math.sqrt(top) * math.sqrt(float((square / top).mean()))


def _mean_magnitude(mean: float, deviation: float) -> float:
    """E|x| of a normal variable, at most 1."""
    if deviation == 0.0:
        return min(1.0, abs(mean))
    ratio = mean / deviation
    folded = deviation * math.sqrt(2 / math.pi) * math.exp(-ratio * ratio / 2) + mean * math.erf(ratio / math.sqrt(2))
    return min(1.0, folded)
