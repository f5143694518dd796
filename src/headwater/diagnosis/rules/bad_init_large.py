"""Weights start so large that the first outputs are far from anything the loss asks for.

Until the outputs have come back from there nothing else is learnt: a loss many times that of a guess, outputs many
times as large as their targets, or an attention that looks at one place only, whatever the input. Steps of a thousandth
of the weights do not heal that, so it counts also where the loss falls. Where most layers start so, it is enough that
what they give at last is large too; and where no layer by itself does (a table that is the last layer too, shortcuts
that add up), the loss has to be further away still, and above that of a guess to the end.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.dependence import learnt_nothing
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.progress import ABOVE_CHANCE, chance_loss, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.weight_scale import (
    FACTOR,
    SOURCE,
    LayerScale,
    are_drawn,
    large_layers,
    projections,
    scales,
    table_scales,
)
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

TIMES_CHANCE = 4.0
TIMES_GUESS = (
    10.0  # where no layer is too large: PyTorch's own N(0, 1) in a table of 48 that is the last layer too gives 9
)
TIMES_TARGETS = 10.0
ONE_HOT = 0.1  # of the entropy of looking at all places alike
HALVED = 0.5
MOST = 0.5  # of the layers whose scale is known
MIN_LAYERS = 2
MOST_SOURCE = "more than half of the layers, and outputs beyond three (docs/thresholds.md)"
FALL_SOURCE = "a loss that halves without anything learnt of its targets (docs/thresholds.md)"
LOSS_SOURCE = "four times the loss of a guess that all classes are as likely (docs/thresholds.md)"
GUESS_SOURCE = "ten times the loss of a guess, and never below that of a guess (docs/thresholds.md)"
TARGET_SOURCE = "ten times the largest target (docs/thresholds.md)"
ATTENTION_SOURCE = "a tenth of the entropy of looking everywhere alike (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    if flow.step > 0:
        return
    large = large_layers(flow)
    consequence = (_far_off(flow) or _without_slope(flow) or _only_came_back(flow)) if large else None
    if consequence is not None:
        yield _finding(flow, large, *consequence)
        return
    for row in flow.sites:
        inside = [layer for layer in large if layer.site.startswith(f"{row.site.module}.")] + projections(flow, row)
        if inside and _is_one_hot(row):
            limit = ONE_HOT * _log_places(row)
            evidence = Evidence("attention_entropy", row.attention_entropy, limit, row.site.name, ATTENTION_SOURCE)
            yield _finding(flow, inside, "finding.bad_init_large_attention", evidence)
            return
    if not large:
        yield from _never_back(flow)
        return
    most = _most_of_a_network(flow, large)
    if most:
        rms = flow.site(most[-1].site).activation.rms
        evidence = Evidence("output_rms", rms, FACTOR, most[-1].site, MOST_SOURCE)
        yield _finding(flow, most, "finding.bad_init_large_most", evidence)


def _most_of_a_network(flow: Flow, large: list[LayerScale]) -> list[LayerScale]:
    """The large ones, where they are more than half of all layers, or of one of several networks side by side.

    The two networks of a GAN are each whole. What such a network gives at last has to be large too: weights that are
    standardised on the way (Qiao et al. 2019) are of any size, and so are those whose results are normalised by hand.
    """
    layers = scales(flow)
    parts = [layers] + [[layer for layer in layers if _part(layer) == name] for name in {*map(_part, layers)}]
    for part in parts:
        inside = [layer for layer in large if layer in part]
        if len(inside) < MIN_LAYERS or len(inside) <= MOST * len(part) or part[-1] not in large:
            continue
        if (flow.site(part[-1].site).activation.rms or 0.0) > FACTOR:
            return inside
    return []


def _part(layer: LayerScale) -> str:
    """Which of the networks that a model is made of: the first word of the name."""
    return layer.site.partition(".")[0]


def _never_back(flow: Flow) -> Iterable[Finding]:
    """A loss far above that of a guess, and never brought below it, though no layer by itself starts too large."""
    course, chance = progress(flow), chance_loss(flow)
    if course is None or chance is None or flow.loss is None or flow.loss <= TIMES_GUESS * chance:
        return
    # A table may be the last layer too: then it is its size that counts, and PyTorch's own is not called too large.
    tables = table_scales(flow)
    layers = [table for table in tables if table.sigma_w > table.limit] if tables else scales(flow, every=True)
    # What was trained elsewhere may begin with outputs of its own task, but not still be there after a training.
    back = (ABOVE_CHANCE if are_drawn(flow) else TIMES_GUESS) * chance
    if course.broke or course.last <= back or not layers:
        return
    evidence = Evidence("last_loss", course.last, back, None, GUESS_SOURCE)
    first = Evidence("first_loss", flow.loss, TIMES_GUESS * chance, None, GUESS_SOURCE)
    worst = max(layers, key=lambda layer: layer.sigma_w / layer.limit)
    values = _values(flow, [worst], worst, first) | {"last": course.last}
    yield Finding(
        symptom="bad_init_large",
        severity="warning",
        sites=tuple(layer.site for layer in layers),
        evidence=(first, evidence, Evidence("weight_scale", worst.sigma_w, None, worst.site)),
        causes=(Cause("weights_too_large", None, Message("cause.weights_too_large.start", values)),),
        prescriptions=for_gradient_scale(flow),
        message=Message("finding.bad_init_large_outputs", values),
    )


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
    values = _values(flow, large, worst, evidence)
    return Finding(
        symptom="bad_init_large",
        severity="warning",
        sites=tuple(layer.site for layer in large),
        evidence=(Evidence("weight_scale", worst.sigma_w, worst.limit, worst.site, SOURCE), evidence),
        causes=(Cause("weights_too_large", None, Message("cause.weights_too_large.start", values)),),
        prescriptions=for_gradient_scale(flow),
        message=Message(message, values),
    )


def _values(flow: Flow, large: list[LayerScale], worst: LayerScale, evidence: Evidence) -> dict[str, Value]:
    return {
        "site": worst.site,
        "layers": len(large),
        "sigma": worst.sigma_w,
        "gain": worst.gain,
        "value": evidence.value,
        "guess": _guess(flow),
    }


RULE = Rule("bad_init_large", _look)
