"""How deep a signal, a difference between inputs or a gradient reaches, and when a number format gives out."""

import math
from dataclasses import dataclass

from headwater.records import InputError
from headwater.theory.checks import require_depth
from headwater.theory.correlation import c_star, correlation_slope, decorrelation_map
from headwater.theory.fixed_points import at_limit, q_star
from headwater.theory.mean_field import chi_1, length_map, length_map_slope
from headwater.theory.nonlinearities import NonlinearityLike, nonlinearity

TRAINABLE = 6.0  # depth scales ξ_c; where networks stopped training in arXiv:1611.01232
_LEAST, _GREATEST = 1e-280, 1e280  # beyond, squares leave float64
_CRITICAL = 1e-9  # a slope this close to 1 is 1: quadrature is exact to 1e-12

ADAM_EPS = 1e-8  # torch.optim.Adam's default: a gradient below it moves a weight by less than the learning rate
# (smallest normal, smallest above 0, largest) of each float format, IEEE 754 and bfloat16's own.
FLOAT_RANGES = {
    "float32": (2.0**-126, 2.0**-149, (2.0 - 2.0**-23) * 2.0**127),
    "bfloat16": (2.0**-126, 2.0**-133, (2.0 - 2.0**-7) * 2.0**127),
    "float16": (2.0**-14, 2.0**-24, 65504.0),
}


@dataclass(frozen=True)
class DepthScales:
    """Layers over which something falls to 1/e at the fixed point that depth leads to; infinity at the edge of chaos.

    Attributes:
        q_star: Variance of the pre-activations there.
        c_star: Correlation of any two inputs there.
        chi_1: Factor on the mean squared gradient per layer, dimensionless.
        xi_q: -1/ln|V′(q*)|, for the distance of q from q*.
        xi_c: -1/ln C′(c*), for the distance of c from c*: how deep one can tell two inputs apart.
        xi_grad: 1/|ln χ₁|, for the mean squared gradient, whether it falls or grows.
    """

    q_star: float
    c_star: float
    chi_1: float
    xi_q: float
    xi_c: float
    xi_grad: float


def depth_scales(phi: NonlinearityLike, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0) -> DepthScales:
    """Depth scales ξ of a wide network at initialisation.

    Where q* is 0 or infinity the limits are taken, C′ being σ_w² E[φ′(u₁)φ′(u₂)] there too.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, > 0.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the first layer's pre-activations, > 0.

    Raises:
        InputError: If ``q`` is not positive, or a variance negative.

    Example:
        >>> scales = depth_scales("tanh", sigma_w2=1.0, sigma_b2=0.05)
        >>> round(scales.chi_1, 4), round(scales.xi_c, 2)
        (0.759, 3.63)

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, the depth scales.
    """
    f = nonlinearity(phi)
    reached = q_star(f, sigma_w2, sigma_b2, q)
    near = at_limit(reached)
    gain = chi_1(f, near, sigma_w2)
    likeness = c_star(f, near, sigma_w2, sigma_b2) if gain > 1.0 + _CRITICAL else 1.0
    slope = gain if likeness == 1.0 else correlation_slope(f, likeness, near, sigma_w2)
    return DepthScales(
        q_star=reached,
        c_star=likeness,
        chi_1=gain,
        xi_q=_scale(length_map_slope(f, near, sigma_w2)),
        xi_c=_scale(slope),
        xi_grad=_scale(gain),
    )


def trainable_depth(phi: NonlinearityLike, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0) -> float:
    """Layers up to which a plain network was seen to train, 6 ξ_c; infinity at the edge of chaos.

    At the edge inputs still draw together, by a power of depth: ``correlation_trajectory`` has how far.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, > 0.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the first layer's pre-activations, > 0.

    Raises:
        InputError: As ``depth_scales``.

    Example:
        >>> round(trainable_depth("tanh", sigma_w2=1.0, sigma_b2=0.05))
        22

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, for the 6, by experiment.
    """
    return TRAINABLE * depth_scales(phi, sigma_w2, sigma_b2, q).xi_c


def merging_depth(
    phi: NonlinearityLike,
    cosine: float,
    sigma_w2: float,
    sigma_b2: float = 0.0,
    *,
    most: int = 10_000,
    q: float = 1.0,
    c: float = 0.0,
) -> float:
    """Layers after which two inputs have a correlation of ``cosine``, however little they had in common.

    Where gradients neither vanish nor explode this is what bounds a plain network's depth: what has merged, no training
    can tell apart. Infinity if it takes more than ``most`` layers, or never happens.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        cosine: From which on inputs count as merged, above ``c`` and below 1.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        most: Layers that are looked at, ≥ 1.
        q: Variance of the first layer's pre-activations, > 0.
        c: Correlation at the first layer.

    Raises:
        InputError: If ``cosine`` does not lie between ``c`` and 1, ``most`` is below 1, or a variance out of range.

    Example:
        >>> merging_depth("relu", 0.99, sigma_w2=2.0)  # He's weights
        57

    Source:
        Poole et al. 2016, arXiv:1606.05340, the correlation map; Schoenholz et al. 2017, arXiv:1611.01232, for what it
        means for training.
    """
    require_depth(most)
    if not -1.0 <= c < cosine < 1.0:
        raise InputError(f"cosine lies between c={c!r} and 1, got {cosine!r}: merging_depth('relu', 0.99, 2.0).")
    f, apart = nonlinearity(phi), 1.0 - c
    for layer in range(1, most + 1):
        following = decorrelation_map(f, apart, q, sigma_w2, sigma_b2)
        q = length_map(f, q, sigma_w2, sigma_b2)
        if following <= 1.0 - cosine:
            return layer
        if abs(following - apart) < _CRITICAL * apart or not _LEAST < q < _GREATEST:
            return math.inf
        apart = following
    return math.inf


def depth_to_reach(factor: float, value: float, start: float = 1.0) -> float:
    """The first layer l at which start · factor^l is at ``value`` or past it; infinity if it never is.

    Args:
        factor: Per layer, > 0, such as √χ₁ for the rms of a gradient.
        value: A bound, > 0, such as 1e-8, the eps of Adam.
        start: What the last layer has, > 0, in the units of ``value``.

    Raises:
        InputError: If one of them is not positive.

    Example:
        >>> depth_to_reach(factor=6**-0.5, value=1e-8)  # torch's default initialisation of a ReLU network
        21
    """
    for name, number in (("factor", factor), ("value", value), ("start", start)):
        if not 0.0 < number < math.inf:
            raise InputError(f"{name} must be positive and finite, got {number!r}: depth_to_reach(0.41, 1e-8).")
    decades, step = math.log(value / start), math.log(factor)
    if decades == 0.0:
        return 0
    if step == 0.0 or (decades > 0) != (step > 0):
        return math.inf
    # A hair less, so that a bound that a whole number of layers meets is met by them.
    return math.ceil(decades / step - 1e-9)


def range_depths(factor: float, start: float = 1.0) -> dict[str, float]:
    """Layers until a gradient leaves each format's range, and until it is no more than Adam's eps.

    A factor below 1 reaches ``adam_eps``, ``float32_normal`` and ``float32_zero``, one above 1 ``float32_overflow``;
    float16 and bfloat16 have theirs. Infinity for what never comes.

    Args:
        factor: Of the gradient's rms per layer, > 0: √χ₁.
        start: Gradient's rms at the last layer, > 0.

    Raises:
        InputError: If one of them is not positive.

    Example:
        >>> range_depths(2**0.5)["float32_overflow"]
        256
    """
    depths = {"adam_eps": depth_to_reach(factor, ADAM_EPS, start)}
    for name, (normal, tiny, largest) in FLOAT_RANGES.items():
        depths[f"{name}_normal"] = depth_to_reach(factor, normal, start)
        depths[f"{name}_zero"] = depth_to_reach(factor, tiny, start)
        depths[f"{name}_overflow"] = depth_to_reach(factor, largest, start)
    return depths


def _scale(slope: float) -> float:
    if abs(abs(slope) - 1.0) < _CRITICAL:
        return math.inf
    return 1.0 / abs(math.log(abs(slope))) if slope else 0.0
