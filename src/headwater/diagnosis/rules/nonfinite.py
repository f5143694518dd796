"""NaN or Inf, named at the first place in execution order where it appears.

An operation that makes them of finite numbers was asked for a result or a slope beyond all numbers: log(0), 1/0, the
slope of a root at 0. Where that zero is a probability, rounding has made it: no sigmoid and no softmax gives one.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_nonfinite
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import overflow
from headwater.records import Cause, Evidence, Finding, Flow, Message, Moments, SiteFlow, TrainingStep
from headwater.records.message import Value


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    found = list(_places(flow))
    if not found:
        return
    kind, name, moments = found[0]
    if kind == "activation" and overflow.made_infinite(flow.site(name), moments):
        return  # that is an overflow, and the NaN after it are its consequences
    yield Finding(
        symptom="nonfinite",
        severity="critical",
        sites=tuple(dict.fromkeys(place for _, place, _ in found)),
        evidence=(
            Evidence("nan_count", moments.nan_count, 0, name, "any non-finite number spoils every later one"),
            Evidence("inf_count", moments.inf_count, 0, name, "any non-finite number spoils every later one"),
        ),
        causes=(_cause(kind, name, moments, flow),),
        prescriptions=for_nonfinite(kind, flow),
        message=_message(kind, name, moments, flow),
    )


def _message(kind: str, name: str, moments: Moments, flow: Flow) -> Message:
    counts: dict[str, Value] = {
        "site": name,
        "nan": moments.nan_count,
        "inf": moments.inf_count,
        "count": moments.count,
    }
    since = _told_since(flow) if kind == "loss" else None
    if since is not None:  # nothing is known of the outputs before it
        return Message("finding.nonfinite_loss_since", {**counts, "step": since.step})
    return Message(f"finding.nonfinite_{kind}", counts)


def _places(flow: Flow) -> Iterable[tuple[str, str, Moments]]:
    """Where non-finite numbers are, in the order they can arise: weights, data, forward, loss, backward."""
    for parameter in flow.parameters:
        if parameter.value.nonfinite_count:
            yield "parameter", parameter.name, parameter.value
    if flow.sites and flow.sites[0].input is not None and flow.sites[0].input.nonfinite_count:
        yield "input", flow.sites[0].site.name, flow.sites[0].input
    for row in flow.sites:
        if row.activation.nonfinite_count:
            yield "activation", row.site.name, row.activation
    loss = _last_loss(flow)
    if loss is not None and not math.isfinite(loss):
        is_nan = math.isnan(loss)
        yield "loss", "loss", Moments(count=1, nan_count=int(is_nan), inf_count=int(not is_nan))
    for row in reversed(flow.sites):
        if row.activation_grad is not None and row.activation_grad.nonfinite_count:
            yield "gradient", row.site.name, row.activation_grad
    for parameter in flow.parameters:
        if parameter.grad is not None and parameter.grad.nonfinite_count:
            yield "gradient", parameter.name, parameter.grad
    for parameter in flow.parameters:
        if parameter.spoiled:
            yield "update", parameter.name, Moments(count=parameter.value.count, nan_count=parameter.spoiled)


def _last_loss(flow: Flow) -> float | None:
    """The step's own, or the last one that was told since: also steps that are not measured may have one."""
    since = _told_since(flow)
    return since.loss if since is not None else flow.loss


def _told_since(flow: Flow) -> TrainingStep | None:
    """The last step with a loss after the measured one; none where that one's own was no number already."""
    if flow.loss is not None and not math.isfinite(flow.loss):
        return None
    told = [step for step in flow.training.steps if step.loss is not None] if flow.training is not None else []
    return told[-1] if told and told[-1].step > flow.step else None


def _cause(kind: str, name: str, moments: Moments, flow: Flow) -> Cause:
    if kind == "input":
        return Cause("data_scale", None, Message("cause.data_scale.why", {"site": name}))
    if kind == "parameter":
        return Cause("parameter_nonfinite", None, Message("cause.parameter_nonfinite.why", {"site": name}))
    if kind == "update":
        dtypes = {parameter.dtype for parameter in flow.parameters if parameter.name == name}
        why = Message("cause.nonfinite_operation.update", {"optimizer": flow.optimizer or ""})
        return Cause("numeric_underflow" if "float16" in dtypes else "numeric_overflow", None, why)
    if kind == "loss" and _takes_the_logarithm_of_a_rounded_probability(flow):
        return Cause("numeric_underflow", None, Message("cause.numeric_underflow.probability"))
    if kind == "loss" and moments.inf_count:
        return Cause("numeric_overflow", None, Message("cause.numeric_overflow.loss"))
    if kind == "gradient":
        return Cause("numeric_overflow", None, Message("cause.nonfinite_operation.slope", {"site": name}))
    return Cause("numeric_overflow", None, Message("cause.nonfinite_operation.why", {"site": name}))


def _takes_the_logarithm_of_a_rounded_probability(flow: Flow) -> bool:
    """Whether probabilities go into a bare logarithm: of the loss's own making, or outputs of which one is 0 or 1."""
    operations = set(flow.setup.loss_operations)
    given = any(_gives_rounded_probabilities(row) for row in flow.sites[-1:])
    return given if not operations else "Log" in operations and (given or bool(operations & {"Sigmoid", "Softmax"}))


def _gives_rounded_probabilities(row: SiteFlow) -> bool:
    is_rounded = row.activation.zero_count > 0 or (row.activation.max or 0.0) >= 1.0
    return is_rounded and (row.site.activation == "sigmoid" or row.site.op in ("Softmax", "softmax"))


RULE = Rule("nonfinite", _look)
