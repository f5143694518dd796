"""Expectations over one standard normal variable, and over two that are correlated."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from headwater.theory.activation import Array

_REACH = 13.0  # the normal density beyond is below 1e-37
_FAR = 1e-20  # what lies between 12 and 13 must be less, or less than this share of all: then little lies beyond 13
_FAR_SHARE = 1e-8
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)

# In two dimensions what counts lies nearer, and nodes cost their square.
_PAIR_REACH = 9.0  # beyond lies 2e-19 of the mass
_PAIR_NODES, _PAIR_WEIGHTS = np.polynomial.legendre.leggauss(14)
_LAYER = np.linspace(-_PAIR_REACH, _PAIR_REACH, 13)

Kinks = tuple[float, ...]


class TooFastError(ValueError):
    """A function grows so fast that most of its expectation lies where the normal density is nothing."""


def expectation(function: Callable[[Array], Array], kinks: Kinks = ()) -> float:
    """E[f(z)] for z ~ N(0, 1), by Gauss–Legendre quadrature on pieces that no kink crosses.

    Args:
        function: f, elementwise, any shape to the same shape.
        kinks: Points where f or a derivative of it jumps.

    Returns:
        The expectation, in the units of f; accurate to 1e-10 for the activations of the table.

    Raises:
        ValueError: If f is not finite where the normal density counts, or grows so fast that it counts beyond.
    """
    z, weights = rule(kinks)
    values = function(z)
    if not np.all(np.isfinite(values)):
        kind = ValueError if np.any(np.isnan(values)) else TooFastError
        raise kind("the function is not finite on [-13, 13]: its expectation under N(0, 1) cannot be computed.")
    parts = weights * values
    far = float(np.sum(np.abs(parts[np.abs(z) > _REACH - 1.0])))
    if far > _FAR and far > _FAR_SHARE * float(np.sum(np.abs(parts))):
        raise TooFastError("the function grows so fast that its expectation under N(0, 1) lies beyond [-12, 12].")
    return float(np.sum(parts))


def expectation_of_pair(
    f: Callable[[Array], Array],
    g: Callable[[Array], Array],
    c: float,
    kinks_f: Kinks = (),
    kinks_g: Kinks = (),
) -> float:
    """E[f(u₁) g(u₂)] for u₁, u₂ ~ N(0, 1) with correlation c.

    Args:
        f: Elementwise, any shape to the same shape.
        g: The same.
        c: Correlation, in [-1, 1].
        kinks_f: Points where f or a derivative of it jumps.
        kinks_g: The same of g.

    Returns:
        The expectation, in the units of f·g; accurate to 1e-10 for the activations of the table.

    Raises:
        ValueError: If c is no correlation, or f or g is not finite where the normal density counts.
    """
    if not -1.0 <= c <= 1.0:
        raise ValueError(f"c is a correlation, from -1 to 1, got {c!r}.")
    u1, u2, weights = _pair_rule(1.0 - c, kinks_f, kinks_g, -_PAIR_REACH)
    return float(np.sum(_finite(f(u1)) * _finite(g(u2)) * weights))


def mean_squared_difference(f: Callable[[Array], Array], decorrelation: float, kinks: Kinks = ()) -> float:
    """E[(f(u₁) - f(u₂))²] for u₁, u₂ ~ N(0, 1) with correlation 1 - decorrelation.

    Where u₁ and u₂ nearly agree this keeps its digits, which E[f²] - E[f(u₁) f(u₂)] would lose.

    Args:
        f: Elementwise, any shape to the same shape.
        decorrelation: 1 - c, in [0, 2].
        kinks: Points where f or a derivative of it jumps.

    Returns:
        The expectation, in the units of f².

    Raises:
        ValueError: If the decorrelation is out of range, or f is not finite where the normal density counts.
    """
    if not 0.0 <= decorrelation <= 2.0:
        raise ValueError(f"decorrelation is 1 - c, from 0 to 2, got {decorrelation!r}.")
    # The integrand is even in u₁ - u₂, so half the plane is enough.
    u1, u2, weights = _pair_rule(decorrelation, kinks, kinks, 0.0)
    return 2.0 * float(np.sum((_finite(f(u1)) - _finite(f(u2))) ** 2 * weights))


@lru_cache(maxsize=64)
def rule(kinks: Kinks) -> tuple[Array, Array]:
    """Nodes and weights, normal density included: E[f(z)] is the sum of weights · f(nodes)."""
    edges = np.unique([*np.arange(-_REACH, _REACH + 1.0), *(k for k in kinks if abs(k) < _REACH)])
    half = np.diff(edges)[:, None] / 2.0
    z = (edges[:-1, None] + half) + half * _NODES
    weights = half * _WEIGHTS * _density(z)
    z.flags.writeable = weights.flags.writeable = False  # a function that writes into its argument would spoil the next
    return z, weights


def _pair_rule(d: float, kinks_1: Kinks, kinks_2: Kinks, lowest: float) -> tuple[Array, Array, Array]:
    """Nodes (u₁, u₂), outer × inner, and their weights, for correlation 1 - d and u₁ - u₂ ≥ 2b·lowest.

    With p, m independent, u₁ = ap + bm and u₂ = ap - bm. A kink k of f is the line ap + bm = k: the inner integral over
    m breaks there. The outer function of p is smooth on the scale b/a about k/a, and breaks where two such lines cross.
    """
    a, b = np.sqrt(1.0 - d / 2.0), np.sqrt(d / 2.0)
    base = np.arange(-_PAIR_REACH, _PAIR_REACH + 1.0)
    edges = [base]
    if a > 0:
        edges += [(k + b * _LAYER) / a for k in {*kinks_1, *kinks_2} if b < a]
        edges.append(np.array([(k1 + k2) / (2.0 * a) for k1 in kinks_1 for k2 in kinks_2]))
    p, p_weights = _nodes(np.unique(np.clip(np.concatenate(edges), -_PAIR_REACH, _PAIR_REACH))[None, :])
    p, p_weights = p.reshape(-1, 1), p_weights.reshape(-1, 1)

    columns = [np.tile(np.unique([lowest, *base[base >= lowest]]), (p.size, 1))]
    if b > 0:
        columns += [(k - a * p) / b for k in kinks_1] + [(a * p - k) / b for k in kinks_2]
    m, m_weights = _nodes(np.sort(np.clip(np.hstack(columns), lowest, _PAIR_REACH), axis=1))
    return a * p + b * m, a * p - b * m, p_weights * m_weights


def _nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights, normal density included, of the pieces between the sorted edges in each row."""
    half = np.diff(edges, axis=1)[..., None] / 2.0
    z = (edges[:, :-1, None] + half) + half * _PAIR_NODES
    weights = half * _PAIR_WEIGHTS * _density(z)
    return z.reshape(len(edges), -1), weights.reshape(len(edges), -1)


def _density(z: Array) -> Array:
    density: Array = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return density


def _finite(values: Array) -> Array:
    if not np.all(np.isfinite(values)):
        raise ValueError("the function is not finite on [-13, 13]: its expectation for a pair cannot be computed.")
    return values
