"""All units of a layer start alike, and what follows reads them alike: they stay copies of one unit for ever.

It takes both: where the next layer's weights differ, the gradients do too, and the units part. So a layer that starts
at zero between others (a head, the end of a branch, the B of LoRA) is none.
"""

from collections.abc import Iterable
from itertools import pairwise

from headwater.diagnosis.prescribing import before_last_affine, prescription
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, ParameterFlow, SiteFlow

ROUNDING = 1e-6
SOURCE = "units with equal weights on both sides get equal gradients (Goodfellow, Bengio and Courville 2016, 8.4)"


def _look(observation: Observation) -> Iterable[Finding]:
    alike = list(dict.fromkeys([*_alike(observation.flow), *_in_step(observation.flow)]))
    if not alike:
        return
    spread = observation.flow.site(alike[0]).unit_spread
    yield Finding(
        symptom="symmetric_init",
        severity="critical",
        sites=tuple(alike),
        evidence=(Evidence("unit_spread", spread, 0.0, alike[0], SOURCE), Evidence("layers", len(alike))),
        causes=(Cause("init_mismatch", None, Message("cause.init_mismatch.symmetric", {"layers": len(alike)})),),
        prescriptions=(prescription("init.xavier"), prescription("init.he")),
        message=Message("finding.symmetric_init", {"site": alike[0], "layers": len(alike)}),
    )


def _in_step(flow: Flow) -> list[str]:
    """Hidden layers whose units all give the same, trained or not."""
    hidden = [row for row in before_last_affine(flow) if row.site.kind == "affine" and len(row.site.shape) > 1]
    return [row.site.name for row in hidden if row.site.shape[1] > 1 and _is_in_step(row)]


def _is_in_step(row: SiteFlow) -> bool:
    # Where nothing comes in, as behind units that are all dead, biases are all that a layer gives.
    silent = row.input is not None and row.input.zero_count == row.input.count
    # What is measured is how far the units' means lie apart. Where all of them are 0, as with inputs that are centred
    # over the very batch and biases of 0, they agree however different the units are.
    mean = abs(row.activation.mean or 0.0)
    return not silent and row.unit_spread is not None and mean > 0.0 and row.unit_spread <= ROUNDING * mean


def _alike(flow: Flow) -> list[str]:
    """Layers of more than one unit whose weights are one number, and the next one's too, with no shortcut between."""
    weights = {name: p for p in flow.parameters for name in (p.name, *p.aliases) if len(p.shape) > 1}
    order: list[tuple[str, ParameterFlow | None]] = []
    for row in flow.sites:
        if row.site.kind == "join":
            order.append((row.site.name, None))
        if row.site.kind == "affine":
            order += [(row.site.name, weights[name]) for name in row.site.parameters[:1] if name in weights]
    return [
        site
        for (site, weight), (_, following) in pairwise(order)
        if weight is not None and following is not None and _is_one_number(weight) and _is_one_number(following)
        if weight.shape[0] > 1 and weight.trainable
    ]


def _is_one_number(weight: ParameterFlow) -> bool:
    return weight.value.min is not None and weight.value.min == weight.value.max and not weight.value.nonfinite_count


RULE = Rule("symmetric_init", _look)
