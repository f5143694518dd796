"""The single meaning of every statistic: slow, obvious, float64, numpy only.

The fast kernels are tested against these definitions. Where a definition needs a choice (which elements count, what an
empty set gives) it is made here and nowhere else. Statistics of nothing are ``None``.
"""

import math
from collections import Counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headwater.records import Moments

Array = NDArray[np.float64]

SATURATION_SHARE = 0.05  # of the largest |φ′|
COLLAPSE_SAMPLES = 64
FLOAT32_TINY = float(np.finfo(np.float32).tiny)


def moments(x: ArrayLike, tiny: float = FLOAT32_TINY) -> Moments:
    """Counts, range and first two moments of the elements of ``x``.

    Args:
        x: Numbers, any shape.
        tiny: Smallest normal number of the dtype they came from; smaller non-zero ones are subnormal.
    """
    values = np.asarray(x, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    peak = float(np.max(np.abs(finite), initial=0.0))
    exponent = math.frexp(peak)[1]
    scaled = np.ldexp(finite, -exponent)
    mean = math.fsum(scaled) / len(scaled) if len(scaled) else 0.0
    nonzero = np.abs(finite[finite != 0])
    return Moments(
        count=len(values),
        nan_count=int(np.sum(np.isnan(values))),
        inf_count=int(np.sum(np.isinf(values))),
        zero_count=int(np.sum(finite == 0)),
        subnormal_count=int(np.sum(nonzero < tiny)),
        exponent=exponent,
        scaled_mean=mean,
        scaled_abs_mean=math.fsum(np.abs(scaled)) / len(scaled) if len(scaled) else 0.0,
        scaled_m2=math.fsum((scaled - mean) ** 2),
        min=float(np.min(finite)) if len(finite) else None,
        max=float(np.max(finite)) if len(finite) else None,
        log2_histogram=tuple(sorted(Counter(math.frexp(value)[1] - 1 for value in nonzero).items())),
    )


def derivative_rms(derivative: Array) -> float | None:
    """√E[φ′²] over the inputs an activation met, dimensionless.

    Args:
        derivative: φ′ at each input, any shape.
    """
    return moments(derivative).rms


def saturated_fraction(derivative: Array, max_slope: float) -> float | None:
    """Share of elements whose |φ′| is below 5 % of its maximum.

    Args:
        derivative: φ′ at each input, any shape.
        max_slope: Largest |φ′| of the activation.
    """
    return float(np.mean(np.abs(derivative) < SATURATION_SHARE * max_slope)) if derivative.size else None


def dead_fraction(output: Array, derivative: Array | None = None) -> float | None:
    """Share of units whose φ′ is exactly zero in every observation: no gradient passes them.

    Where φ′ is not known an output of zero stands for it. Where it is, the output does not count: tanh(0) is 0, and
    the unit is at its most alive.

    Args:
        output: The activation's outputs, (observations, units).
        derivative: φ′ at its inputs, the same shape, if the activation is known.
    """
    if not output.size:
        return None
    return float(np.mean(np.all((output if derivative is None else derivative) == 0, axis=0)))


def unit_spread(output: Array) -> float | None:
    """Standard deviation over units of each unit's mean, in the activation's units.

    Args:
        output: The activation's outputs, (observations, units).
    """
    return float(np.std(np.mean(output, axis=0), ddof=1)) if output.size and output.shape[1] > 1 else None


def feature_decades(samples: Array) -> float | None:
    """log₁₀ of a large over a small feature's rms, where a tenth of them is larger and a tenth smaller.

    Features that are zero do not count.

    Args:
        samples: (samples, features), finite ones only are looked at.
    """
    rows = samples[np.isfinite(samples).all(axis=1)]
    sizes = sorted(float(np.sqrt(np.mean(column**2))) for column in rows.T) if len(rows) > 1 else []
    sizes = [size for size in sizes if size > 0]
    if not sizes:
        return None
    last = len(sizes) - 1
    return math.log10(sizes[math.ceil(0.9 * last)] / sizes[math.floor(0.1 * last)])


def feature_offset(samples: Array) -> float | None:
    """Largest |mean| over standard deviation of a feature that varies; dimensionless.

    Args:
        samples: (samples, features), finite ones only are looked at.
    """
    rows = samples[np.isfinite(samples).all(axis=1)]
    columns = [column for column in rows.T if len(rows) > 1 and np.std(column, ddof=1) > 0]
    return max((abs(float(np.mean(c))) / float(np.std(c, ddof=1)) for c in columns), default=None)


def abs_cosine(samples: Array) -> float | None:
    """Mean |cos| over pairs of the first 64 samples; 1 where all inputs have merged into one direction.

    Samples that are zero or not finite have no direction and stand in no pair.

    Args:
        samples: (samples, features).
    """
    directions = _directions(samples)
    if len(directions) < 2:
        return None
    pairs = [
        abs(float(directions[i] @ directions[j])) for i in range(len(directions)) for j in range(i + 1, len(directions))
    ]
    return float(np.mean(pairs))


def effective_rank(samples: Array) -> float | None:
    """Exponential of the entropy of p_i = s_i² / Σ s², s the singular values of the centred first 64 samples.

    1 where the samples differ along one direction only, or not at all.

    Args:
        samples: (samples, features); rows that are not finite are left out.

    Source:
        Roy and Vetterli 2007, "The effective rank", with energies s² for p as in the collapse literature.
    """
    rows = samples[:COLLAPSE_SAMPLES]
    rows = rows[np.all(np.isfinite(rows), axis=1)]
    if len(rows) < 2 or not rows.shape[1]:
        return None
    peak = np.max(np.abs(rows))
    rows = rows / peak if peak else rows
    energy = np.linalg.svd(rows - np.mean(rows, axis=0), compute_uv=False) ** 2
    # Differences below the rounding of float64 are no differences.
    if np.sum(energy) <= rows.size * np.finfo(np.float64).eps ** 2 * 4:
        return 1.0
    share = energy[energy > 0] / np.sum(energy)
    return float(np.exp(-np.sum(share * np.log(share))))


def gain(after: Moments, before: Moments) -> float | None:
    """Rms after over rms before, dimensionless; of outputs over inputs, or of gradients the other way."""
    return after.rms_over(before)


def sign_coherence(gradient: Array) -> float | None:
    """Mean over units of |Σ sign g| / n: 1 where all of a unit's weight gradients share one sign: descent zig-zags.

    Args:
        gradient: ∂loss/∂W, (units, ...) with the unit's incoming weights in the other dimensions. Units without any
            non-zero entry have no sign and are left out, and so are entries that are NaN.

    Source:
        LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", section 4.3.
    """
    signs = np.nan_to_num(np.sign(gradient.reshape(len(gradient), -1))) if gradient.size else np.empty((0, 1))
    signed = np.sum(np.abs(signs), axis=1)
    alive = signed > 0
    if not np.any(alive):
        return None
    return float(np.mean(np.abs(np.sum(signs[alive], axis=1)) / signed[alive]))


def gradient_cosine(gradient: Array, previous: Array) -> float | None:
    """Cosine of a gradient with the one a step earlier; below -0.5 descent zig-zags."""
    directions = _directions(np.stack([gradient.ravel(), previous.ravel()]))
    return float(directions[0] @ directions[1]) if len(directions) == 2 else None


def update_ratio(before: Array, after: Array) -> float | None:
    """‖Δw‖/‖w‖ of one step; ``None`` where ‖w‖ is 0."""
    weight, update = moments(before), moments(after - before)
    if not weight.norm or update.norm is None:
        return None
    return update.norm / weight.norm


def unchanged_fraction(before: Array, after: Array) -> float | None:
    """Share of weights that are the same number before and after a step; NaN is no number."""
    return float(np.mean(before == after)) if before.size else None


def below_epsilon_fraction(gradient: Array, epsilon: float) -> float | None:
    """Share of a gradient's non-zero entries that are smaller than Adam's ε, which then, not √v, sets their step."""
    nonzero = np.abs(gradient[gradient != 0])
    return float(np.mean(nonzero < epsilon)) if nonzero.size else None


def lost_to_rounding_fraction(update: Array, weight: Array, epsilon: float) -> float | None:
    """Share of non-zero updates that, added to their weight, are rounded away: they are below half its ulp.

    The ulp of a power of two is half as large towards zero, and weights of normalizations start at 1.

    Args:
        update: Δw as computed, before it is added.
        weight: w, the same shape.
        epsilon: Spacing of the weight's dtype at 1, such as 2**-23 for float32.
    """
    mantissa, exponent = np.frexp(np.abs(weight))
    ulp = np.where(weight == 0, 0.0, np.ldexp(epsilon, exponent - 1))
    ulp[(mantissa == 0.5) & (np.sign(update) == -np.sign(weight))] /= 2
    moving = update != 0
    return float(np.mean(np.abs(update[moving]) < ulp[moving] / 2)) if np.any(moving) else None


def time_step_rms(gradient: Array) -> tuple[float | None, ...]:
    """Rms of ∂loss/∂h_t for each time step of a recurrent layer.

    Args:
        gradient: (time, batch, features).
    """
    return tuple(moments(step).rms for step in gradient)


def attention_entropy(probabilities: Array) -> float | None:
    """Mean entropy of attention rows in nats; 0 where each query looks at one key only.

    Args:
        probabilities: (..., queries, keys), rows summing to 1; rows that are not finite are left out.
    """
    rows = probabilities[np.all(np.isfinite(probabilities), axis=-1)]
    if not rows.size:
        return None
    terms = np.where(rows > 0, rows * np.log(np.maximum(rows, np.finfo(np.float64).tiny)), 0.0)
    return float(-np.mean(np.sum(terms, axis=-1)))


def attention_logit_max(logits: Array) -> float | None:
    """Largest finite attention logit; masked ones are -Inf and do not count."""
    return moments(logits).max


def _directions(samples: Array) -> Array:
    rows = samples[:COLLAPSE_SAMPLES]
    rows = rows[np.all(np.isfinite(rows), axis=1)]
    rows = rows[np.any(rows != 0, axis=1)]
    rows = rows / np.max(np.abs(rows), axis=1, keepdims=True) if len(rows) else rows
    normalised: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True) if len(rows) else rows
    return normalised
