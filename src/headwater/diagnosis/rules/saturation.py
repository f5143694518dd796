"""S-shaped activations driven into their flat ends, where the derivative is next to nothing.

Counted on the gradient's path only: a gate beside it may be open or closed for good reason. What follows the last
affine map is the output's own: a classifier that is sure of itself saturates its head.
"""

from collections.abc import Iterable

from headwater.diagnosis.attribution import SATURATED_SHARE, is_s_shaped
from headwater.diagnosis.prescribing import before_last_affine, for_saturation
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.records import Cause, Evidence, Finding, Message, SiteFlow

CRITICAL_SHARE = 0.9
SOURCE = "half of the values no longer learn (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    on_path = {step.site for step in flow.path.steps} if flow.path else set()
    if flow.path:
        on_path.add(flow.path.first)
    saturated = [row for row in before_last_affine(flow) if row.site.name in on_path and _is_saturated(row)]
    if not saturated:
        return
    worst = max(saturated, key=lambda row: row.saturated_fraction or 0.0)
    share = worst.saturated_fraction or 0.0
    yield Finding(
        symptom="saturation",
        severity="critical" if share >= CRITICAL_SHARE else "warning",
        sites=tuple(row.site.name for row in saturated),
        evidence=(
            Evidence("saturated_fraction", share, SATURATED_SHARE, worst.site.name, SOURCE),
            Evidence("derivative_rms", worst.derivative_rms, site=worst.site.name),
        ),
        causes=(_cause(worst),),
        prescriptions=for_saturation(flow),
        message=Message(
            "finding.saturation",
            {"site": worst.site.name, "op": worst.site.op, "percent": 100 * share, "layers": len(saturated)},
        ),
    )


def _is_saturated(row: SiteFlow) -> bool:
    s_shaped = is_s_shaped(row.site.activation) or row.site.kind == "recurrent"
    return s_shaped and (row.saturated_fraction or 0.0) > SATURATED_SHARE


def _cause(row: SiteFlow) -> Cause:
    rms = row.input.rms if row.input else None
    return Cause("weights_too_large", None, Message("cause.weights_too_large.saturating", {"rms": rms}))


RULE = Rule("saturation", _look, needs_path)
