"""NaN or Inf, named at the first place in execution order where it appears."""

from collections.abc import Iterable

from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import overflow
from headwater.records import Cause, Evidence, Finding, Flow, Message, Moments


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
        prescriptions=(),
        message=Message(
            f"finding.nonfinite_{kind}",
            {"site": name, "nan": moments.nan_count, "inf": moments.inf_count, "count": moments.count},
        ),
    )


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
    if flow.loss != flow.loss or flow.loss in (float("inf"), float("-inf")):
        is_nan = flow.loss != flow.loss
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


def _cause(kind: str, name: str, moments: Moments, flow: Flow) -> Cause:
    optimizer = flow.optimizer or ""
    dtypes = {parameter.dtype for parameter in flow.parameters if parameter.name == name}
    if kind == "loss" and moments.inf_count:
        return Cause("numeric_overflow", None, Message("cause.numeric_overflow.loss"))
    if kind == "update" and "float16" in dtypes:
        return Cause("numeric_underflow", None, Message("cause.nonfinite_operation.update", {"optimizer": optimizer}))
    if kind == "input":
        return Cause("data_scale", None, Message("cause.data_scale.why", {"site": name}))
    if kind == "parameter":
        return Cause("parameter_nonfinite", None, Message("cause.parameter_nonfinite.why", {"site": name}))
    if kind == "update":
        return Cause("nonfinite_operation", None, Message("cause.nonfinite_operation.update", {"optimizer": optimizer}))
    return Cause("nonfinite_operation", None, Message("cause.nonfinite_operation.why", {"site": name}))


RULE = Rule("nonfinite", _look)
