"""The gradient gets smaller from layer to layer on its way back, until early layers learn nothing.

The gradient that arrives at the first layer is less than a thousandth of the one at the last, and depth is why: either
the loss goes on over several layers, or more is gone than float32 can add to a weight at all. A single operation that
takes it, such as a head one step after it started at zero, is no matter of depth.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.gradient_scale import Limit, scale_finding
from headwater.diagnosis.progress import progress
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.diagnosis.rules.vanishing_through_time import is_through_time
from headwater.diagnosis.waterfall import affine_layers, depth_decades, norm_decades
from headwater.records import Finding, Flow, Waterfall

WARNING = Limit("warning", -3.0, "first layer below a thousandth of the last (docs/thresholds.md)")
CRITICAL = Limit("critical", math.log10(2.0**-24), "2**-24, half an ulp of float32 (docs/thresholds.md)")
HALF = 0.5
MIN_LAYERS = 3  # fewer cannot show a trend; then only the critical limit counts


def _look(observation: Observation) -> Iterable[Finding]:
    flow, budget = observation.flow, observation.waterfall
    if budget is None or flow.path is None or budget.decades >= 0:
        return
    if is_through_time(flow):
        return  # a cell's weights get the gradient of all its calls; what its first one loses is the memory
    lost = norm_decades(flow.path)
    if lost <= CRITICAL.decades:
        yield scale_finding("vanishing", flow, flow.path, budget, lost, CRITICAL)
    elif affine_layers(flow.path) >= MIN_LAYERS and _is_of_depth(flow, budget, lost):
        yield scale_finding("vanishing", flow, flow.path, budget, lost, WARNING)


def _is_of_depth(flow: Flow, budget: Waterfall, lost: float) -> bool:
    """Whether a thousandth is left without the operation that takes most.

    Where nothing is learnt, half of the decades are enough if activations have taken more than weights have: small
    weights have a symptom of their own.
    """
    assert flow.path is not None
    spread = depth_decades(flow.path)
    if spread <= WARNING.decades or lost > WARNING.decades or spread > HALF * lost:
        return spread <= WARNING.decades
    course = progress(flow)
    flattened = min(budget.totals, key=lambda name: budget.totals[name], default="") == "activation"
    return flattened and course is not None and not (course.learns or course.broke or course.worsens)


RULE = Rule("vanishing", _look, needs_path)
