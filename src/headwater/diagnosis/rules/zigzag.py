"""All inputs of a layer are positive, so that the weights of a unit can only rise or fall together.

Only noted: such layers train, by a longer way. The sign of ∂L/∂w_i = δ·x_i is that of δ for every i as long as all x_i
are positive (LeCun et al. 1998, Efficient BackProp, 4.3).
"""

from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_positive_input
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, ParameterFlow, SiteFlow
from headwater.records.message import Value

COHERENT = 0.9
MIN_INPUTS = 8
SOURCE = "share of a unit's weight gradients with the same sign; 1 where all inputs are positive"


def _look(observation: Observation) -> Iterable[Finding]:
    found = [(row, weight) for row, weight in _affine(observation.flow) if _is_coherent(row, weight)]
    if not found:
        return
    row, weight = max(found, key=lambda pair: pair[1].sign_coherence or 0.0)
    values: dict[str, Value] = {
        "site": row.site.name,
        "percent": 100 * (weight.sign_coherence or 0.0),
        "layers": len(found),
    }
    yield Finding(
        symptom="zigzag",
        severity="info",
        sites=tuple(row.site.name for row, _ in found),
        evidence=(
            Evidence("sign_coherence", weight.sign_coherence, COHERENT, row.site.name, SOURCE),
            Evidence("input_min", row.input.min if row.input else None, 0.0, row.site.name, SOURCE),
        ),
        causes=(Cause("non_zero_centered", None, Message("cause.non_zero_centered.why", values)),),
        prescriptions=for_positive_input(row),
        message=Message("finding.zigzag", values),
    )


def _affine(flow: Flow) -> Iterable[tuple[SiteFlow, ParameterFlow]]:
    weights = {name: p for p in flow.parameters for name in (p.name, *p.aliases) if len(p.shape) > 1}
    for row in flow.sites:
        own = [weights[name] for name in row.site.parameters if name in weights]
        if row.site.kind == "affine" and own:
            yield row, own[0]


def _is_coherent(row: SiteFlow, weight: ParameterFlow) -> bool:
    positive = row.input is not None and row.input.min is not None and row.input.min > 0.0
    return positive and (weight.sign_coherence or 0.0) > COHERENT and weight.shape[1] >= MIN_INPUTS


RULE = Rule("zigzag", _look)
