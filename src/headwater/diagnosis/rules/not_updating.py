"""Trainable weights that an optimizer step leaves where they are.

Either the optimizer does not hold them, no gradient reaches them, or the step is too small to matter: below a millionth
of the weight, or lost in its rounding. A gradient of exactly zero counts only where the dtype lost it: behind a branch
or a head that starts at zero (ReZero, LoRA) it is there by design and gone after a step, and dead units are a symptom
of their own.
"""

import statistics
from collections.abc import Iterable

from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.rule import Observation, Rule, needs_update
from headwater.diagnosis.rules import underflow
from headwater.records import Cause, Evidence, Finding, Flow, Message, ParameterFlow, Severity
from headwater.records.message import Value

FROZEN_RATIO = 1e-6
NEGLIGIBLE_SHARE = 0.01  # of all trainable weights: in bfloat16 a step now and then leaves a single bias as it was
SOURCE = "update/weight ratio: about 1e-3 is usual, below 1e-6 is frozen (CS231n notes; docs/thresholds.md)"

ADAM_EPSILON = 1e-8  # torch's default: a smaller gradient no longer has its scale divided out


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    still = [p for p in flow.parameters if (_is_still(p) and not _is_switched_off(p, flow)) or _is_cut_off(p, flow)]
    if not still:
        return
    trainable = [parameter for parameter in flow.parameters if parameter.trainable]
    worst = min(still, key=lambda parameter: parameter.update_ratio or 0.0)
    cause = _cause(still, flow)
    yield Finding(
        symptom="not_updating",
        severity=_severity(still, trainable, cause),
        sites=tuple(parameter.name for parameter in still),
        evidence=(
            Evidence("update_ratio", worst.update_ratio, FROZEN_RATIO, worst.name, SOURCE),
            Evidence("unchanged_fraction", worst.unchanged_fraction, site=worst.name),
        ),
        causes=(cause,),
        prescriptions=for_gradient_scale(flow) if cause.id == "numeric_underflow" else (),
        message=Message(
            "finding.cut_off" if cause.id == "detached_graph" else "finding.not_updating",
            {"site": worst.name, "parameters": len(still), "trainable": len(trainable), "ratio": worst.update_ratio},
        ),
    )


def _is_still(parameter: ParameterFlow) -> bool:
    """Whether a weight that should move does not; a bias at zero has no ratio and counts by being bit-identical."""
    if not parameter.trainable or parameter.unchanged_fraction is None:
        return False
    if parameter.update_ratio is None:
        return parameter.unchanged_fraction == 1.0
    return parameter.update_ratio < FROZEN_RATIO


def _is_cut_off(parameter: ParameterFlow, flow: Flow) -> bool:
    """Whether it took part in the forward pass and got no gradient back; to see that takes no optimizer."""
    return parameter.trainable and parameter.grad is None and not _ran(flow).isdisjoint(_names(parameter))


def _ran(flow: Flow) -> set[str]:
    """Names of the parameters whose module was called."""
    return {name for row in flow.sites for name in row.site.parameters}


def _names(parameter: ParameterFlow) -> tuple[str, ...]:
    return parameter.name, *parameter.aliases


def _is_switched_off(parameter: ParameterFlow, flow: Flow) -> bool:
    """Whether its gradient is exactly zero, and not because the dtype could not hold it."""
    gradient = parameter.grad
    if parameter.in_optimizer is False or gradient is None or gradient.zero_count < gradient.count:
        return False
    lost = {name for row in underflow.lost_sites(flow) for name in row.site.parameters}
    return lost.isdisjoint(_names(parameter))


def _severity(still: list[ParameterFlow], trainable: list[ParameterFlow], cause: Cause) -> Severity:
    if len(still) == len(trainable):
        return "critical"
    rounded_away = cause.id in ("numeric_underflow", "learning_rate_low")
    negligible = rounded_away and _weights(still) < NEGLIGIBLE_SHARE * _weights(trainable)
    return "info" if cause.id == "unused" or negligible else "warning"


def _weights(parameters: list[ParameterFlow]) -> int:
    return sum(parameter.value.count for parameter in parameters)


def _cause(still: list[ParameterFlow], flow: Flow) -> Cause:
    """Why they stay: the most telling reason that holds for any of them."""
    optimizer = flow.optimizer or ""
    outside = [parameter for parameter in still if parameter.in_optimizer is False]
    if outside:
        values: dict[str, Value] = {"optimizer": optimizer, "site": outside[0].name, "parameters": len(outside)}
        return Cause("optimizer_params", None, Message("cause.optimizer_params.why", values))
    moved = [parameter for parameter in still if parameter.grad is not None]
    if not moved:
        return _no_gradient(still, flow)
    rms = statistics.median((parameter.grad_rms or 0.0) for parameter in moved)
    cause = "numeric_underflow" if rms < ADAM_EPSILON else "learning_rate_low"
    return Cause(cause, None, Message(f"cause.{cause}.still", {"rms": rms, "optimizer": optimizer}))


def _no_gradient(still: list[ParameterFlow], flow: Flow) -> Cause:
    """No gradient at all: its module never ran (an unused head), or ran and was cut off."""
    detached = [parameter.name for parameter in still if _is_cut_off(parameter, flow)]
    cause = "detached_graph" if detached else "unused"
    return Cause(cause, None, Message(f"cause.{cause}.why", {"site": (detached or [still[0].name])[0]}))


def _blocked(observation: Observation) -> Message | None:
    """Without an optimizer only parameters that are cut off can be seen."""
    if any(_is_cut_off(parameter, observation.flow) for parameter in observation.flow.parameters):
        return None
    return needs_update(observation)


RULE = Rule("not_updating", _look, _blocked)
