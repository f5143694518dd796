"""The gradient grows from layer to layer on its way back: early layers take steps that wreck them."""

from collections.abc import Iterable

from headwater.diagnosis.attribution import causes_of_decades
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.diagnosis.waterfall import affine_layers, first_norm, norm_decades, power, scale_values
from headwater.records import Evidence, Finding, Message

WARNING_DECADES = 3.0
WARNING_SOURCE = "‖∂L/∂z‖ first/last above 1e3 (THEORY §4)"
CRITICAL_DECADES = 6.0  # a step that moves the last layer by 1e-6 of itself replaces the first
CRITICAL_SOURCE = "six decades: update/weight from 1e-6 (frozen) to 1 (replaced), THEORY §4"
MIN_LAYERS = 3


def _look(observation: Observation) -> Iterable[Finding]:
    flow, budget = observation.flow, observation.waterfall
    if budget is None or flow.path is None or budget.decades <= 0:
        return
    gained = norm_decades(flow.path)
    layers = affine_layers(flow.path)
    if gained < (WARNING_DECADES if layers >= MIN_LAYERS else CRITICAL_DECADES):
        return
    per_layer = budget.decades / max(1, layers)
    yield Finding(
        symptom="exploding",
        severity="critical" if gained >= CRITICAL_DECADES else "warning",
        sites=(budget.first,),
        evidence=(
            Evidence("first_layer_grad_rms", power(budget.log10_first), site=budget.first),
            Evidence("first_layer_grad_norm", first_norm(flow, budget), site=budget.first),
            Evidence("decades", budget.decades),
            Evidence("norm_ratio", power(gained), 10.0**WARNING_DECADES, source=WARNING_SOURCE),
            Evidence("decades_per_layer", per_layer),
            Evidence("layers", layers),
        ),
        causes=causes_of_decades(flow, budget),
        prescriptions=for_gradient_scale(flow),
        message=Message("finding.exploding", scale_values(flow, budget, per_layer)),
    )


RULE = Rule("exploding", _look, needs_path)
