"""Weights start so large that the first outputs are far from anything the loss asks for.

Until the outputs have come back from there nothing else is learnt: a loss many times that of a guess, outputs many
times as large as their targets, or an attention that looks at one place only, whatever the input.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.dependence import learnt_nothing
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.progress import chance_loss, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.weight_scale import SOURCE, LayerScale, large_layers
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

TIMES_CHANCE = 4.0
TIMES_TARGETS = 10.0
ONE_HOT = 0.1  # of the entropy of looking at all places alike
HALVED = 0.5
FALL_SOURCE = "a loss that halves without anything learnt of its targets (docs/thresholds.md)"
LOSS_SOURCE = "four times the loss of a guess that all classes are as likely (docs/thresholds.md)"
TARGET_SOURCE = "ten times the largest target (docs/thresholds.md)"
ATTENTION_SOURCE = "a tenth of the entropy of looking everywhere alike (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    course = progress(flow)
    nothing = flow.training is not None and learnt_nothing(flow.training) is not None
    if flow.step > 0 or (course is not None and course.learns and not nothing):
        return
    large = large_layers(flow)
    consequence = (_far_off(flow) or _without_slope(flow) or _only_came_back(flow)) if large else None
    if consequence is not None:
        yield _finding(flow, large, *consequence)
        return
    for row in flow.sites:
        inside = [layer for layer in large if layer.site.startswith(f"{row.site.module}.")]
        if inside and _is_one_hot(row):
            limit = ONE_HOT * _log_places(row)
            evidence = Evidence("attention_entropy", row.attention_entropy, limit, row.site.name, ATTENTION_SOURCE)
            yield _finding(flow, inside, "finding.bad_init_large_attention", evidence)
            return


def _far_off(flow: Flow) -> tuple[str, Evidence] | None:
    """What shows that the outputs are far from where they should be, and how to say so."""
    chance, last = _guess(flow), flow.sites[-1]
    if chance is not None and flow.loss is not None and flow.loss > TIMES_CHANCE * chance:
        return "finding.bad_init_large_loss", Evidence(
            "first_loss", flow.loss, TIMES_CHANCE * chance, None, LOSS_SOURCE
        )
    targets, output = flow.setup.targets, last.activation.rms
    limit = TIMES_TARGETS * max(map(abs, targets)) if targets is not None else 0.0
    if limit > 0.0 and output is not None and output > limit:
        return "finding.bad_init_large_output", Evidence("output_rms", output, limit, last.site.name, TARGET_SOURCE)
    return None


def _without_slope(flow: Flow) -> tuple[str, Evidence] | None:
    """Outputs so far out that the loss is flat there (a clamp, a last function that is saturated): no gradient."""
    gradients = [p.grad for p in flow.parameters if p.trainable and p.grad is not None]
    if not gradients or any(gradient.zero_count < gradient.count for gradient in gradients):
        return None
    last = flow.sites[-1]
    return "finding.bad_init_large_flat", Evidence("output_rms", last.activation.rms, None, last.site.name)


def _only_came_back(flow: Flow) -> tuple[str, Evidence] | None:
    """Whether the loss has more than halved and nothing was learnt of the targets: what fell was the outputs' size."""
    course = progress(flow)
    nothing = flow.training is not None and learnt_nothing(flow.training) is not None
    if course is None or not nothing or course.gain < HALVED:
        return None
    return "finding.bad_init_large_fall", Evidence("first_loss", course.start, course.last / HALVED, None, FALL_SOURCE)


def _guess(flow: Flow) -> float | None:
    """The loss of a guess that all classes are as likely."""
    if "BinaryCrossEntropyWithLogits" in flow.setup.loss_operations:
        return math.log(2.0) * (flow.setup.loss_scale or 1.0)
    return chance_loss(flow)


def _is_one_hot(row: SiteFlow) -> bool:
    return row.attention_entropy is not None and row.attention_entropy < ONE_HOT * _log_places(row)


def _log_places(row: SiteFlow) -> float:
    """Entropy of looking at all places of a sequence alike, in nats."""
    places = row.site.shape[-2] if len(row.site.shape) > 1 else 1
    return math.log(max(1, places))


def _finding(flow: Flow, large: list[LayerScale], message: str, evidence: Evidence) -> Finding:
    worst = max(large, key=lambda layer: layer.sigma_w / layer.limit)
    values: dict[str, Value] = {
        "site": worst.site,
        "layers": len(large),
        "sigma": worst.sigma_w,
        "gain": worst.gain,
        "value": evidence.value,
        "guess": _guess(flow),
    }
    return Finding(
        symptom="bad_init_large",
        severity="warning",
        sites=tuple(layer.site for layer in large),
        evidence=(Evidence("weight_scale", worst.sigma_w, worst.limit, worst.site, SOURCE), evidence),
        causes=(Cause("weights_too_large", None, Message("cause.weights_too_large.start", values)),),
        prescriptions=for_gradient_scale(flow),
        message=Message(message, values),
    )


RULE = Rule("bad_init_large", _look)
