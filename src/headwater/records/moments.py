"""The one mergeable summary of a tensor's elements."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

LOG10_2 = math.log10(2.0)


@dataclass(frozen=True, slots=True)
class Moments:
    """Counts, range and the first two moments of a set of numbers, exact about their exponents.

    Two summaries become one by :meth:`merge`, in any order and grouping: across calls, micro-batches, steps and ranks.
    The moments are those of the finite elements; NaN and Inf are counted beside them and never filtered out of sight.
    Means and squared deviations are held in units of ``2**exponent``, so that squares of 1e-300 and of 1e300 survive.

    Attributes:
        count: Elements seen, finite or not.
        nan_count: Elements that are NaN.
        inf_count: Elements that are +Inf or -Inf.
        zero_count: Elements that are exactly zero.
        subnormal_count: Non-zero elements below the smallest normal number of their own dtype.
        exponent: Power of two in whose units the three ``scaled_`` fields are.
        scaled_mean: Mean of the finite elements, over ``2**exponent``.
        scaled_abs_mean: Mean magnitude of the finite elements, over ``2**exponent``.
        scaled_m2: Sum of squared deviations from the mean, over ``4**exponent``.
        min: Smallest finite element, ``None`` if there is none.
        max: Largest finite element, ``None`` if there is none.
        log2_histogram: Pairs (e, n): n finite non-zero elements have floor(log2|x|) = e, by rising e.
    """

    count: int = 0
    nan_count: int = 0
    inf_count: int = 0
    zero_count: int = 0
    subnormal_count: int = 0
    exponent: int = 0
    scaled_mean: float = 0.0
    scaled_abs_mean: float = 0.0
    scaled_m2: float = 0.0
    min: float | None = None
    max: float | None = None
    log2_histogram: tuple[tuple[int, int], ...] = ()

    @property
    def nonfinite_count(self) -> int:
        return self.nan_count + self.inf_count

    @property
    def finite_count(self) -> int:
        return self.count - self.nonfinite_count

    @property
    def abs_max(self) -> float | None:
        """Largest finite magnitude, ``None`` without finite elements."""
        return None if self.min is None or self.max is None else max(abs(self.min), abs(self.max))

    @property
    def mean(self) -> float | None:
        return self._bounded(self.scaled_mean) if self.finite_count else None

    @property
    def abs_mean(self) -> float | None:
        return self._bounded(self.scaled_abs_mean) if self.finite_count else None

    @property
    def rms(self) -> float | None:
        """Root mean square of the finite elements."""
        return self._bounded(self._scaled_rms) if self.finite_count else None

    @property
    def norm(self) -> float | None:
        """Euclidean norm of the finite elements, ℓ₂."""
        return self._unscaled(self._scaled_rms * math.sqrt(self.finite_count)) if self.finite_count else None

    @property
    def std(self) -> float | None:
        """Standard deviation with n - 1 in the denominator, ``None`` below two finite elements."""
        if self.finite_count < 2:
            return None
        return self._unscaled(math.sqrt(self.scaled_m2 / (self.finite_count - 1)))

    @property
    def log10_rms(self) -> float | None:
        """log₁₀ of the rms, also where the rms is no float64 any more; -inf at zero, ``None`` without elements."""
        if not self.finite_count:
            return None
        return math.log10(self._scaled_rms) + self.exponent * LOG10_2 if self._scaled_rms else -math.inf

    @property
    def log10_norm(self) -> float | None:
        """log₁₀ of the Euclidean norm; -inf at zero, ``None`` without elements."""
        return None if self.log10_rms is None else self.log10_rms + math.log10(self.finite_count) / 2

    @property
    def zero_fraction(self) -> float | None:
        """Share of all elements that are exactly zero."""
        return self.zero_count / self.count if self.count else None

    @property
    def subnormal_fraction(self) -> float | None:
        """Share of all elements that are subnormal in their own dtype."""
        return self.subnormal_count / self.count if self.count else None

    @property
    def _scaled_rms(self) -> float:
        return math.sqrt(self.scaled_m2 / self.finite_count + self.scaled_mean**2)

    def rms_over(self, before: "Moments") -> float | None:
        """Rms over that of ``before``; ``None`` where either has no finite elements, or ``before`` only zeros."""
        if not self.finite_count or not before.finite_count or not before._scaled_rms:
            return None
        return _ldexp(self._scaled_rms / before._scaled_rms, self.exponent - before.exponent)

    def merge(self, other: "Moments") -> "Moments":
        """The summary of both sets together.

        Source:
            Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", equations 2.1.
        """
        if not other.count:
            return self
        if not self.count:
            return other
        exponent, mean, abs_mean, m2 = _merged_scaled(self, other)
        return Moments(
            count=self.count + other.count,
            nan_count=self.nan_count + other.nan_count,
            inf_count=self.inf_count + other.inf_count,
            zero_count=self.zero_count + other.zero_count,
            subnormal_count=self.subnormal_count + other.subnormal_count,
            exponent=exponent,
            scaled_mean=mean,
            scaled_abs_mean=abs_mean,
            scaled_m2=m2,
            min=_pick(min, self.min, other.min),
            max=_pick(max, self.max, other.max),
            log2_histogram=_merged_histogram(self.log2_histogram, other.log2_histogram),
        )

    def scaled(self, factor: float) -> "Moments":
        """The summary of the same elements, each multiplied by a positive factor; the histogram moves by its log₂.

        Subnormal elements are those that were before: they lost their digits then.
        """
        shift = round(math.log2(factor))
        return replace(
            self,
            scaled_mean=self.scaled_mean * factor,
            scaled_abs_mean=self.scaled_abs_mean * factor,
            scaled_m2=self.scaled_m2 * factor * factor,
            min=None if self.min is None else self.min * factor,
            max=None if self.max is None else self.max * factor,
            log2_histogram=tuple((exponent + shift, count) for exponent, count in self.log2_histogram),
        )

    @staticmethod
    def merge_all(parts: "list[Moments] | tuple[Moments, ...]") -> "Moments":
        """The summary of all parts together; that of nothing is ``Moments()``."""
        return reduce(Moments.merge, parts, Moments())

    def _bounded(self, scaled_mean: float) -> float:
        """A mean in its own units; rounding must not carry it past the largest element, least of all to Inf."""
        bound = self.abs_max or 0.0
        return max(-bound, min(bound, self._unscaled(scaled_mean))) + 0.0  # and -0.0 is 0

    def _unscaled(self, value: float) -> float:
        return _ldexp(value, self.exponent)


def _ldexp(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:  # a norm may exceed its largest element, a ratio anything
        return math.copysign(math.inf, value)


def _pick(choose: Callable[[list[float]], float], a: float | None, b: float | None) -> float | None:
    present = [value for value in (a, b) if value is not None]
    return choose(present) if present else None


def _merged_histogram(a: tuple[tuple[int, int], ...], b: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    bins = dict(a)
    for exponent, count in b:
        bins[exponent] = bins.get(exponent, 0) + count
    return tuple(sorted(bins.items()))


def _merged_scaled(a: Moments, b: Moments) -> tuple[int, float, float, float]:
    if not b.finite_count:
        return a.exponent, a.scaled_mean, a.scaled_abs_mean, a.scaled_m2
    if not a.finite_count:
        return b.exponent, b.scaled_mean, b.scaled_abs_mean, b.scaled_m2
    exponent = _common_exponent(a, b)
    n = a.finite_count + b.finite_count
    share_a, share_b = a.finite_count / n, b.finite_count / n
    shift_a, shift_b = a.exponent - exponent, b.exponent - exponent
    mean_a, mean_b = math.ldexp(a.scaled_mean, shift_a), math.ldexp(b.scaled_mean, shift_b)
    abs_a, abs_b = math.ldexp(a.scaled_abs_mean, shift_a), math.ldexp(b.scaled_abs_mean, shift_b)
    m2_a, m2_b = math.ldexp(a.scaled_m2, 2 * shift_a), math.ldexp(b.scaled_m2, 2 * shift_b)
    between = (mean_b - mean_a) ** 2 * a.finite_count * share_b
    return exponent, mean_a * share_a + mean_b * share_b, abs_a * share_a + abs_b * share_b, m2_a + m2_b + between


def _common_exponent(a: Moments, b: Moments) -> int:
    """The larger exponent; one that holds nothing but zeros has no say, or it would drown numbers below 2**-1074."""
    if not a.abs_max:
        return b.exponent
    if not b.abs_max:
        return a.exponent
    return max(a.exponent, b.exponent)
