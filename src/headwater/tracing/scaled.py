"""Numbers that keep their digits below 1e-308: a float with an exponent of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from headwater.records import Signed


@dataclass(frozen=True)
class Scaled:
    """``mantissa * 2**exponent``, the mantissa's magnitude in [0.5, 1), or 0."""

    mantissa: float
    exponent: int = 0

    @staticmethod
    def of(value: float, exponent: int = 0) -> Scaled:
        if value == 0 or not math.isfinite(value):
            return Scaled(value)
        mantissa, own = math.frexp(value)
        return Scaled(mantissa, own + exponent)

    @staticmethod
    def product(values: Iterable[float]) -> Scaled:
        """The product, rounded once per factor whatever its size."""
        mantissa, exponent = 1.0, 0
        for value in values:
            part = Scaled.of(value)
            mantissa, carried = math.frexp(mantissa * part.mantissa)
            exponent += part.exponent + carried
        return Scaled(mantissa, exponent if mantissa else 0)

    def times(self, value: float) -> Scaled:
        return Scaled.of(self.mantissa * value, self.exponent)

    def difference(self, reference: Scaled) -> float:
        """|self - reference| / |reference|; infinite against zero, unless both are."""
        if not math.isfinite(self.mantissa) or not math.isfinite(reference.mantissa):
            return math.inf
        if reference.mantissa == 0:
            return 0.0 if self.mantissa == 0 else math.inf
        shift = self.exponent - reference.exponent
        if shift > 1000:
            return math.inf
        return abs(math.ldexp(self.mantissa, shift) - reference.mantissa) / abs(reference.mantissa)

    def signed(self) -> Signed:
        return Signed.from_parts(self.mantissa, self.exponent)


def rescaled(tensor: Tensor) -> tuple[Tensor, int]:
    """The tensor with its largest magnitude brought into [0.5, 1) by a power of two, which changes no digit."""
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if largest == 0 or not math.isfinite(largest):
        return tensor, 0
    exponent = math.frexp(largest)[1]
    half = exponent // 2  # 2**-1074 has no reciprocal in a float64
    return tensor * math.ldexp(1.0, -half) * math.ldexp(1.0, half - exponent), exponent


def log10_norm(tensor: Tensor, exponent: int = 0) -> float:
    """log₁₀ of the Euclidean norm of ``tensor * 2**exponent``."""
    small, own = rescaled(tensor.detach().double())
    norm = float(small.norm())
    if not math.isfinite(norm):
        return norm
    return math.log10(norm) + (own + exponent) * math.log10(2.0) if norm else -math.inf
