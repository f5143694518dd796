"""The gradient gets smaller from layer to layer on its way back, until early layers learn nothing.

The gradient that arrives at the first layer is less than a thousandth of the one at the last, and depth is why: either
the loss goes on over several layers, or more is gone than float32 can add to a weight at all. A single operation that
takes it, such as a head one step after it started at zero, is no matter of depth.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.attribution import causes_of_decades
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.diagnosis.waterfall import affine_layers, depth_decades, first_norm, norm_decades, power, scale_values
from headwater.records import Evidence, Finding, Message

WARNING_DECADES = -3.0
WARNING_SOURCE = "‖∂L/∂z‖ first/last below 1e-3 (Glorot and Bengio 2010, figure 7, as read in THEORY §4)"
CRITICAL_DECADES = math.log10(2.0**-24)
CRITICAL_SOURCE = "half an ulp of float32 relative to the weight, 2**-24"
MIN_LAYERS = 3  # fewer cannot show a trend; then only the critical threshold counts


def _look(observation: Observation) -> Iterable[Finding]:
    flow, budget = observation.flow, observation.waterfall
    if budget is None or flow.path is None or budget.decades >= 0:
        return
    lost = norm_decades(flow.path)
    layers = affine_layers(flow.path)
    spread = depth_decades(flow.path) if layers >= MIN_LAYERS else math.inf
    if lost > CRITICAL_DECADES and spread > WARNING_DECADES:
        return
    per_layer = budget.decades / max(1, layers)
    yield Finding(
        symptom="vanishing",
        severity="critical" if lost <= CRITICAL_DECADES else "warning",
        sites=(budget.first,),
        evidence=(
            Evidence("first_layer_grad_rms", power(budget.log10_first), site=budget.first),
            Evidence("first_layer_grad_norm", first_norm(flow, budget), site=budget.first),
            Evidence("decades", budget.decades),
            Evidence("norm_ratio", power(lost), 10.0**WARNING_DECADES, source=WARNING_SOURCE),
            Evidence("decades_per_layer", per_layer),
            Evidence("layers", layers),
        ),
        causes=causes_of_decades(flow, budget),
        prescriptions=for_gradient_scale(flow),
        message=Message("finding.vanishing", scale_values(flow, budget, per_layer)),
    )


RULE = Rule("vanishing", _look, needs_path)
