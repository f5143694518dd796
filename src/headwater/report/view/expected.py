"""What theory expects of the gradient: weights of this scale, but of no particular direction, and normal inputs."""

import math
from functools import lru_cache

from headwater.records import Flow, HeadwaterError, PathStep, Site, SiteFlow

Expected = dict[str, float]


def expected_levels(flow: Flow) -> Expected:
    """log₁₀ of the expected rms of ∂loss/∂output at each site of the gradient's way, from what was measured at its end.

    An affine map multiplies the rms by what weights of its scale do to a gradient of any direction; an activation by
    √E[φ′(x)²] with x normal, its second moment as measured. What theory has no word for (pooling, a shortcut) counts as
    it was measured. Empty where the gradient's way is not known.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232: the mean square of a gradient is multiplied by
        χ = σ_w² E[φ′(√q z)²] per layer.
    """
    if flow.path is None or not math.isfinite(flow.path.log10_last):
        return {}
    rows = {row.site.name: row for row in flow.sites}
    level = flow.path.log10_last
    levels = {flow.path.last: level}
    for step in flow.path.steps:
        if step.site is not None:
            levels[step.site] = level  # of its output: an earlier step may have set it before a shortcut joined
        level += _expected_gain(step, rows)
        if not math.isfinite(level):
            return levels
    levels[flow.path.first] = level
    return levels


def _expected_gain(step: PathStep, rows: dict[str, SiteFlow]) -> float:
    if step.part == "operation" and step.kind == "affine" and step.weight_gain:
        return math.log10(step.weight_gain)
    row = rows.get(step.site) if step.site is not None else None
    if step.part == "operation" and step.kind == "activation" and row is not None:
        slope = _slope(row)
        if slope is not None:
            return math.log10(slope)
    return step.log10_gain


def _slope(row: SiteFlow) -> float | None:
    """√E[φ′(x)²] for normal inputs as large as those measured; ``None`` if these or the activation are unknown."""
    size = row.input.rms if row.input is not None else None
    if row.site.activation is None or not size or not math.isfinite(size):
        return None
    return _mean_slope(row.site.activation, _parameters(row.site), float(f"{size:.4g}"))


def _parameters(site: Site) -> tuple[tuple[str, float], ...]:
    return tuple((name, value) for name, value in site.activation_parameters.items() if isinstance(value, float))


@lru_cache(maxsize=4096)
def _mean_slope(activation: str, parameters: tuple[tuple[str, float], ...], size: float) -> float | None:
    # scipy comes with it, which takes longer to load than a live page may be blank.
    from headwater.theory.moments import slope_second_moment
    from headwater.theory.nonlinearities import nonlinearity

    try:
        phi = nonlinearity(activation, None, kinks=None, **dict(parameters))
        squared = slope_second_moment(phi, size * size)
    except HeadwaterError:
        return None
    return math.sqrt(squared) if squared > 0 else None
