"""A number as people read it, in sentences and in reports alike: the format ``{rms:number}`` of the catalogues."""

import math

PLAIN_LOW, PLAIN_HIGH = 1e-3, 1e6  # between these a number reads better without an exponent


def number(value: float | int | str | None) -> str:
    """A number to two or three significant digits: ``1.3e-26``, ``0.248``, ``12,800``, ``0``, ``NaN``, ``-Inf``.

    Zero is ``0``, and only zero is. ``None``, a number that was not measured, is a dash; text passes through.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")
    if value == 0:
        return "0"
    if not PLAIN_LOW <= abs(value) < PLAIN_HIGH:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
