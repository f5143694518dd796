"""A gate that starts at zero holds a branch's gradient back for one step: ReZero, LoRA, the last scale of a branch.

Only noted: once the gate has moved, the branch learns. What marks it is a weight that is zero itself and gets a
gradient, while others get exactly none.
"""

from collections.abc import Iterable

from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import underflow
from headwater.records import Cause, Evidence, Finding, Flow, Message, ParameterFlow
from headwater.records.message import Value

SOURCE = "a branch times zero (Bachlechner et al. 2020, arXiv:2003.04887; Hu et al. 2021, arXiv:2106.09685)"


def gates(flow: Flow) -> list[ParameterFlow]:
    """Trained weights that are zero and get a gradient; biases start at zero for no such reason."""
    return [p for p in flow.parameters if _is_zero_itself(p) and _gets_some(p) and not p.name.endswith("bias")]


def held_back(flow: Flow) -> list[ParameterFlow]:
    """Trained weights that get a gradient of exactly zero which the dtype has not lost."""
    lost = {name for row in underflow.lost_sites(flow) for name in row.site.parameters}
    return [p for p in flow.parameters if _gets_none(p) and p.name not in lost]


def _look(observation: Observation) -> Iterable[Finding]:
    shut, behind = gates(observation.flow), held_back(observation.flow)
    if not shut or not behind:
        return
    values: dict[str, Value] = {"site": shut[0].name, "gates": len(shut), "parameters": len(behind)}
    yield Finding(
        symptom="gated_by_design",
        severity="info",
        sites=tuple(p.name for p in shut),
        evidence=(
            Evidence("weight_abs_max", 0.0, 0.0, shut[0].name, SOURCE),
            Evidence("grad_norm", shut[0].grad_norm, site=shut[0].name),
            Evidence("parameters", len(behind)),
        ),
        causes=(Cause("zero_gate", None, Message("cause.zero_gate.why", {"site": shut[0].name})),),
        prescriptions=(),
        message=Message("finding.gated_by_design", values),
    )


def _is_zero_itself(parameter: ParameterFlow) -> bool:
    value = parameter.value
    return parameter.trainable and value.count > 0 and value.zero_count == value.count


def _gets_some(parameter: ParameterFlow) -> bool:
    return parameter.grad is not None and parameter.grad.zero_count < parameter.grad.count


def _gets_none(parameter: ParameterFlow) -> bool:
    gradient = parameter.grad
    return parameter.trainable and gradient is not None and gradient.zero_count == gradient.count > 0


RULE = Rule("gated_by_design", _look)
