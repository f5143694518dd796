"""Where a function that somebody else wrote is not smooth."""

from collections.abc import Callable

import numpy as np

from headwater.records import InputError
from headwater.theory.activation import Array

# Off the round numbers, so that a kink at one of them lies inside a piece and not on its edge.
_PIECES = np.linspace(-32.0, 32.0, 257) + 0.0137
_DEGREE = 16
# Both ends are nodes: a jump just inside an edge must be seen.
_NODES = np.cos(np.pi * np.arange(_DEGREE) / (_DEGREE - 1))
_TO_COEFFICIENTS = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, _DEGREE - 1))
_TOLERANCE = 1e-11  # of the largest value: what a polynomial leaves over where the function is smooth
_NARROWEST = 1e-11
_NARROW = 1.0 / 100.0  # a piece this narrow was halved because something happens there
_MOST = 32


def find_kinks(*functions: Callable[[Array], Array]) -> tuple[float, ...]:
    """Points in [-32, 32] where a function or a derivative of it jumps, or bends within a hundredth.

    Halves each piece on which a polynomial of degree 15 does not fit until it fits or there is nothing left to halve;
    runs of narrow pieces are what surrounds a kink.

    Args:
        functions: Elementwise, any shape to the same shape; an activation and its derivative, say.

    Returns:
        The kinks in rising order; to nine decimals where a function jumps, to six where only a derivative of it does.

    Raises:
        InputError: If there are more than 32, as in a noisy function.

    Example:
        >>> find_kinks(lambda x: (x > -1.0) & (x < 6.0))  # φ′ of a hard tanh
        (-1.0, 6.0)

    Source:
        Pachón, Platte & Trefethen 2010, "Piecewise-smooth chebfuns", IMA J. Numer. Anal. 30, for the halving.
    """
    runs = _runs(sorted(piece for function in functions for piece in _narrow_pieces(function)))
    if len(runs) > _MOST:
        raise _too_many()
    narrowest = (min(run, key=lambda piece: piece[1] - piece[0]) for run in runs)
    return tuple(round((low + high) / 2.0, 9) + 0.0 for low, high in narrowest)


def _narrow_pieces(function: Callable[[Array], Array]) -> list[tuple[float, float]]:
    low, high = _PIECES[:-1], _PIECES[1:]
    values = np.asarray(function(_points(low, high)))
    # What returns single precision is smooth to that.
    is_coarse = values.dtype in (np.float32, np.float16)
    tolerance = 64 * float(np.finfo(values.dtype).eps) if is_coarse else _TOLERANCE
    sizes = np.abs(values.astype(np.float64))
    scale = float(np.max(sizes, initial=1e-300, where=np.isfinite(sizes)))
    narrow: list[tuple[float, float]] = []
    while low.size:
        values = np.asarray(function(_points(low, high)), dtype=np.float64)
        tails = np.abs(values @ _TO_COEFFICIENTS.T)[:, -2:].max(axis=1)
        split = (tails > tolerance * scale) & (high - low > _NARROWEST)
        found = ~split & (high - low < _NARROW)
        narrow += zip(low[found].tolist(), high[found].tolist(), strict=True)
        middle = (low + high)[split] / 2.0
        low, high = np.concatenate([low[split], middle]), np.concatenate([middle, high[split]])
        if low.size > 2 * _MOST * _PIECES.size:
            raise _too_many()
    return narrow


def _points(low: Array, high: Array) -> Array:
    return (low + high)[:, None] / 2.0 + (high - low)[:, None] / 2.0 * _NODES


def _runs(pieces: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Pieces within a hundredth of each other, together."""
    runs: list[list[tuple[float, float]]] = []
    for piece in pieces:
        if runs and piece[0] - runs[-1][-1][1] < _NARROW:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _too_many() -> InputError:
    return InputError(
        f"the function bends in more than {_MOST} places on [-32, 32], as a noisy one does. "
        "Pass the places where its derivative jumps: nonlinearity(phi, derivative, kinks=(0.0,)), or kinks=() if none."
    )
