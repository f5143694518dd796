"""Shares, decades and differences as people read them: never ``0.0`` for what is not zero, no long tail of digits."""

import math

from headwater.i18n import number

FRACTION_EDGE = 0.001  # shares nearer to 0 or 1 than this are named by a bound, so that "0" and "all" stay exact


def number_from_log10(log10: float | None) -> str:
    """The number whose log₁₀ is given; also where no float64 can hold it any more (below 5e-324)."""
    if log10 is None or not math.isfinite(log10):
        return number(None if log10 is None else (0.0 if log10 == -math.inf else log10))
    if -300 < log10 < 300:
        return number(10.0**log10)
    exponent = math.floor(log10)
    mantissa = f"{10 ** (log10 - exponent):.1f}"
    return f"1.0e{exponent + 1}" if mantissa == "10.0" else f"{mantissa}e{exponent}"


def signed(value: float) -> str:
    """A difference: like :func:`number`, with its sign always there."""
    return f"+{number(value)}" if value > 0 else number(value)


def decades(value: float) -> str:
    """Decades lost (negative) or gained: one decimal, or as many as it takes not to read as nothing."""
    if not math.isfinite(value) or value == 0:
        return number(value)
    if abs(value) >= 0.05:
        return f"{value:+.1f}"
    return f"{value:+.1g}" if abs(value) >= 1e-4 else signed(value)


def percent_digits(share: float) -> str:
    """A share in percent without the sign: ``62``, ``99.8``, and ``<0.1`` or ``>99.9`` where rounding would lie."""
    if not math.isfinite(share):
        return number(share)
    if 0 < share < FRACTION_EDGE:
        return "<0.1"
    if 1 - FRACTION_EDGE < share < 1:
        return ">99.9"
    return f"{100 * share:.1f}".removesuffix(".0")


def whole_percents(shares: list[float]) -> list[int]:
    """Shares in whole percent that keep their sum: each is rounded down, the largest remainders get what is left.

    Example:
        >>> whole_percents([1 / 3, 1 / 3, 1 / 3])
        [34, 33, 33]
    """
    hundreds = [100 * share if math.isfinite(share) else 0.0 for share in shares]
    floors = [math.floor(value) for value in hundreds]
    left = round(sum(hundreds)) - sum(floors)
    by_remainder = sorted(range(len(shares)), key=lambda i: floors[i] - hundreds[i])
    for index in by_remainder[: max(left, 0)]:
        floors[index] += 1
    return floors
