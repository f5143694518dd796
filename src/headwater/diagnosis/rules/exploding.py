"""The gradient grows from layer to layer on its way back: early layers take steps that wreck them."""

from collections.abc import Iterable
from dataclasses import replace

from headwater.diagnosis.gradient_scale import Limit, scale_finding
from headwater.diagnosis.prescribing_training import against_explosion
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.diagnosis.waterfall import affine_layers, norm_decades
from headwater.records import Finding, Flow

WARNING = Limit("warning", 3.0, "first layer above a thousand times the last (docs/thresholds.md)")
CRITICAL = Limit("critical", 6.0, "a step of 1e-6 at the last layer replaces the first (docs/thresholds.md)")
MIN_LAYERS = 3  # fewer cannot show a trend; then only the critical limit counts


def _look(observation: Observation) -> Iterable[Finding]:
    flow, budget = observation.flow, observation.waterfall
    if budget is None or flow.path is None or budget.decades <= 0:
        return
    gained = norm_decades(flow.path)
    if gained >= CRITICAL.decades:
        yield _clipped_too(scale_finding("exploding", flow, flow.path, budget, gained, CRITICAL), flow)
    elif gained >= WARNING.decades and affine_layers(flow.path) >= MIN_LAYERS:
        yield _clipped_too(scale_finding("exploding", flow, flow.path, budget, gained, WARNING), flow)


def _clipped_too(finding: Finding, flow: Flow) -> Finding:
    """With what shortens the steps, behind what mends the scale."""
    return replace(finding, prescriptions=(*finding.prescriptions, *against_explosion(flow)))


RULE = Rule("exploding", _look, needs_path)
