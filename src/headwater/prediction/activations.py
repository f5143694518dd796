"""What an activation makes of a normal variable, element by element."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.theory import Activation

_REACH, _STEP = 8.0, 0.125  # the trapezoid rule in steps of σ / 8: 3e-4 of the result at a kink, else 1e-15
_TERMS = 7  # of a Hermite series; of ReLU they leave 0.5 % of the variance
_NORMAL = 3.0  # E[x⁴] / E[x²]²
_CHUNK = 1 << 15  # elements at a time, for each of which there are as many nodes as the rule has


class Response(NamedTuple):
    """Of each element, over u ~ N(mean, variance).

    Attributes:
        mean: E[φ(u)].
        variance: Var[φ(u)].
        slope: E[φ′(u)].
        square_slope: E[φ′(u)²].
        kurtosis: E[φ⁴] / E[φ²]², of all elements together.
        slope_kurtosis: E[φ′⁴] / E[φ′²]², of all elements together.
        covariance: Of φ(u) for a vector u of which covariances are given, else ``None``.
        slope_products: E[φ′(u_i) φ′(u_j)] of such a vector.
    """

    mean: Tensor
    variance: Tensor
    slope: Tensor
    square_slope: Tensor
    kurtosis: float
    slope_kurtosis: float
    covariance: Tensor | None = None
    slope_products: Tensor | None = None


def response(
    activation: Activation,
    mean: Tensor,
    variance: Tensor,
    parameters: dict[str, Any],
    covariance: Tensor | None = None,
) -> Response:
    """The moments of an activation and of its derivative.

    Args:
        activation: φ.
        mean: Of each element of its input.
        variance: Of each element.
        parameters: Its slopes or bounds; a tensor of slopes holds one per channel, dimension 1.
        covariance: Of a vector, (units, units).
    """
    m, deviation = mean.numpy().reshape(-1), np.sqrt(variance.clamp(min=0).numpy()).reshape(-1)
    settings = {name: _per_element(value, mean) for name, value in parameters.items()}
    found = [np.empty_like(m) for _ in range(6)]
    for start in range(0, m.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        local = {name: v[part, None] if isinstance(v, np.ndarray) else v for name, v in settings.items()}
        for whole, piece in zip(found, _moments(activation, m[part], deviation[part], local), strict=True):
            whole[part] = piece
    first, second, slope, square_slope, fourth, fourth_slope = found
    of_shape = [torch.from_numpy(values).reshape(mean.shape) for values in (first, second, slope, square_slope)]
    varied = (of_shape[1] - of_shape[0].square()).clamp(min=0)
    of_vector: tuple[Tensor | None, Tensor | None] = (None, None)
    if covariance is not None:
        correlation = _correlation(covariance, deviation)
        settings = {name: v[:, None] if isinstance(v, np.ndarray) else v for name, v in settings.items()}
        u = m[:, None] + deviation[:, None] * _NODES
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            phi = np.broadcast_to(activation.phi(u, **settings), u.shape)
            slopes = np.broadcast_to(activation.derivative(u, **settings), u.shape)
        slope_variance = square_slope - slope**2
        products = _products(slopes, slope_variance, correlation) + np.outer(slope, slope)
        of_vector = (
            torch.from_numpy(_products(phi, varied.numpy().reshape(-1), correlation)),
            torch.from_numpy(products),
        )
    return Response(
        of_shape[0],
        varied,
        of_shape[2],
        of_shape[3],
        _ratio(fourth, second),
        _ratio(fourth_slope, square_slope),
        *of_vector,
    )


def _correlation(covariance: Tensor, deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.where(deviation > 0, deviation, 1.0)
    return np.clip(covariance.numpy() / np.outer(scale, scale), -1.0, 1.0)


def _products(
    values: NDArray[np.float64], variance: NDArray[np.float64], correlation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariances of functions of correlated normal variables, from their Hermite series: Σ a_ik a_jk ρ_ij^k.

    What a series cut off after :data:`_TERMS` leaves of a variance is taken for one more term.

    Args:
        values: Of each function at the nodes, (units, nodes).
        variance: Of each function.
        correlation: Of the variables.
    """
    total, power = np.zeros_like(correlation), np.ones_like(correlation)
    left = variance.copy()
    before, polynomial = np.zeros_like(_NODES), np.ones_like(_NODES)
    for k in range(1, _TERMS + 1):
        before, polynomial = polynomial, (_NODES * polynomial - math.sqrt(k - 1) * before) / math.sqrt(k)
        coefficients = values @ (_WEIGHTS * polynomial)
        power = power * correlation
        total += np.outer(coefficients, coefficients) * power
        left -= coefficients**2
    rest = np.sqrt(np.clip(left, 0.0, None))
    total += np.outer(rest, rest) * power * correlation
    np.fill_diagonal(total, variance)
    return total


def _moments(
    activation: Activation, mean: NDArray[np.float64], deviation: NDArray[np.float64], parameters: dict[str, Any]
) -> list[NDArray[np.float64]]:
    """E[φ], E[φ²], E[φ′], E[φ′²], E[φ⁴] and E[φ′⁴]."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # an overflow is the network's
        u = mean[:, None] + deviation[:, None] * _NODES
        phi = np.broadcast_to(activation.phi(u, **parameters), u.shape)
        slope = np.broadcast_to(activation.derivative(u, **parameters), u.shape)
        powers = (phi, phi**2, slope, slope**2, phi**4, slope**4)
        return [power @ _WEIGHTS for power in powers]


_NODES = np.arange(-_REACH + _STEP / 2, _REACH, _STEP)  # none at zero, where rectifiers have their kink
_WEIGHTS = np.exp(-0.5 * _NODES**2)
_WEIGHTS /= _WEIGHTS.sum()


def _ratio(fourth: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if not second.size:
        return 1.0
    mean_square, mean_fourth = float(np.mean(second)), float(np.mean(fourth))
    if not mean_square > 0:
        return 1.0
    ratio = mean_fourth / mean_square / mean_square
    return ratio if math.isfinite(ratio) else _NORMAL  # fourth powers leave float64 first


def _per_element(value: Any, x: Tensor) -> Any:
    """A parameter as a number, or as one number per element of ``x``."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() == 1:
        return float(value.detach())
    shape = [1, -1] + [1] * (x.dim() - 2)
    return value.detach().double().reshape(shape).expand(x.shape).numpy().reshape(-1)
