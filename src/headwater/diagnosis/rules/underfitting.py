"""The training gets nowhere: neither the loss nor the metric is better after it than before.

What it comes from is another finding's matter; where there is none, nobody can tell from this run alone. Until the
weights have gone a way as long as they are themselves it may just be early, and where no metric says better the loss
may be one that does not fall (two networks against each other): then it is only noted.

Learning something is not enough where all that is known of a sample goes through one number, and the metric is far from
its end.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from headwater.diagnosis.decay import DECAYING, decay_share, weight_decay_high
from headwater.diagnosis.dependence import (
    ENOUGH_SAMPLES,
    FAR_COMING,
    HARDLY,
    LITTLE,
    LOST,
    PAIRING_SOURCE,
    SOURCE,
    do_not_belong,
    is_by_heart,
    learnt_nothing,
    say_nothing,
)
from headwater.diagnosis.narrow import few_numbers
from headwater.diagnosis.prescribing_training import for_decay
from headwater.diagnosis.progress import Progress, chance_loss, needs_steps, progress, takes_short_steps
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import lr_too_high
from headwater.diagnosis.rules.loss_activation_mismatch import held_against
from headwater.diagnosis.rules.unscaled_input import LARGE
from headwater.records import Cause, Dependence, Evidence, Finding, Flow, Message, SiteFlow, Training
from headwater.records.message import Value

IMPROVED = 0.1  # of a metric that ends at 1: a few hundred samples tell chance from half of that
FAR = 1.0
ENOUGH = 0.8  # of a metric that ends at 1
TOLD = 0.5  # of the targets' variance, by a kernel from a few hundred samples
HALF = 0.5  # of a metric that ends at 1
MOST_OF_TWO = 3  # classes that two numbers may tell with room to spare
NARROW_SOURCE = "one unit or two that all goes through, and a fifth of the metric missing (docs/thresholds.md)"
TARGET_SOURCE = "the least target: none is reached by outputs of that size (docs/thresholds.md)"
ALL_DECAY = 0.95  # of a step; a network in balance with its decay, gradient against pull, is at 0.71
UNKNOWN = Cause("cannot_tell", None, Message("cause.cannot_tell.why"))
DECAY_SOURCE = "half of a step: the weights go to zero faster than anywhere else"
WAY_SOURCE = "sum of ‖Δw‖/‖w‖: the weights could have become others altogether"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    course = progress(observation.flow)
    rises = _metric_rise(training) if training is not None else None
    decay = decay_share(observation.flow) or 0.0
    if training is None or course is None:
        return
    moved = sum(ratio for ratio in training.update_ratios() if math.isfinite(ratio))
    known = _known_reason(observation.flow, training, course, moved) if decay <= DECAYING else None
    if known is not None:
        yield known
        return
    improves = rises is not None and rises > IMPROVED
    stalls = decay > DECAYING and _stalls(training)
    # What has learnt all there is has no gradient left, and each step is decay then.
    if (not stalls and course.learns and (decay < ALL_DECAY or improves)) or (decay <= DECAYING and improves):
        return
    yield Finding(
        symptom="underfitting",
        severity="warning" if (moved >= FAR and rises is not None) or decay > DECAYING else "info",
        sites=(),
        evidence=(
            Evidence("last_loss", course.last, course.start, source=lr_too_high.LOSS_SOURCE),
            Evidence("loss_noise", course.noise),
            Evidence("way", moved, FAR, source=WAY_SOURCE),
            *([Evidence("decay_share", decay, DECAYING, source=DECAY_SOURCE)] if decay > DECAYING else []),
        ),
        causes=(weight_decay_high(observation.flow, decay) if decay > DECAYING else UNKNOWN,),
        prescriptions=for_decay() if decay > DECAYING else (),
        message=_message(course, training),
    )


def _known_reason(flow: Flow, training: Training, course: Progress, moved: float) -> Finding | None:
    """A finding that says why nothing or little is learnt, whatever the loss does; ``None`` if none is known."""
    if training.pairing is not None and training.pairing.all_alike:
        return _saying_nothing(training, course)
    if do_not_belong(training) and not (is_by_heart(training) or _is_learnt(training)):
        return _not_theirs(training, course)
    if say_nothing(training) and moved >= FAR and course.gain < FAR_COMING:
        return _saying_nothing(training, course)
    unrelated = learnt_nothing(training)
    if unrelated is not None and (course.learns or moved >= FAR):
        return _unrelated(flow, unrelated, course)
    if _reaches_no_target(flow, course):
        return _far_from_targets(_labels(_course(course), _message(course, training)), flow, len(training.steps))
    narrow = few_numbers(flow, _most_too_few(flow, training)) if _is_low(training) else None
    return _squeezed(training, narrow) if narrow is not None else None


def _message(course: Progress, training: Training) -> Message:
    values: dict[str, Value] = {"first": course.start, "last": course.last, "steps": len(training.steps)}
    return Message("finding.underfitting", values)


def _reaches_no_target(flow: Flow, course: Progress) -> bool:
    """Whether targets lie as far out as inputs must not, and steps of usual length have not brought outputs there."""
    targets, output = held_against(flow), flow.sites[-1].activation.rms if flow.sites else None
    if targets is None or output is None or targets[0] * targets[1] <= 0 or takes_short_steps(flow) or course.broke:
        return False
    least = min(map(abs, targets))
    return least > LARGE and output < least and course.gain < HALF


def _most_too_few(flow: Flow, training: Training) -> int:
    """How many units are too few: one always; two where more than three classes stay untold that a kernel can tell."""
    known, chance = training.validation_pairing or training.pairing, chance_loss(flow)
    classes = flow.sites[-1].site.shape[-1] if flow.sites and chance is not None else 0
    told = known is not None and known.samples >= ENOUGH_SAMPLES and known.explained >= TOLD
    return 2 if classes > MOST_OF_TWO and told and (training.scores[-1].metric or 0.0) < HALF else 1


def _not_theirs(training: Training, course: Progress) -> Finding:
    """Other pairs are trained on than are held out: the network can only learn them by heart."""
    seen, unseen = training.pairing, training.validation_pairing
    assert seen is not None
    assert unseen is not None
    values: dict[str, Value] = {
        "seen": 100 * max(0.0, seen.explained),
        "unseen": 100 * max(0.0, unseen.explained),
        "samples": seen.samples,
    }
    evidence = Evidence("pairing_explained", seen.explained, (1 - LOST) * unseen.explained, source=PAIRING_SOURCE)
    return _labels((evidence, *_course(course)), Message("finding.underfitting_not_theirs", values))


def _saying_nothing(training: Training, course: Progress) -> Finding:
    seen = training.pairing
    assert seen is not None
    values: dict[str, Value] = {"samples": seen.samples, "first": course.start, "last": course.last}
    evidence = Evidence("pairing_deviations", seen.deviations, HARDLY, source=PAIRING_SOURCE)
    return _labels((evidence, *_course(course)), Message("finding.underfitting_no_relation", values))


def _course(course: Progress) -> tuple[Evidence, ...]:
    return (Evidence("last_loss", course.last, course.start),)


def _labels(evidence: tuple[Evidence, ...], message: Message) -> Finding:
    return Finding(
        symptom="underfitting",
        severity="warning",
        sites=(),
        evidence=evidence,
        causes=(Cause("capacity_or_label_noise", None, Message("cause.capacity_or_label_noise.unrelated")),),
        prescriptions=(),
        message=message,
    )


def _unrelated(flow: Flow, found: Dependence, course: Progress) -> Finding:
    """The loss may have fallen, as far as it can for one who knows how frequent the targets are and nothing else."""
    share = (found.exchanged - found.loss) / abs(found.exchanged)
    steps = len(flow.training.steps) if flow.training is not None else 0
    values: dict[str, Value] = {"first": course.start, "last": course.last, "steps": steps}
    evidence = Evidence("pairing_gain", share, LITTLE, source=SOURCE)
    finding = _labels((evidence, *_course(course)), Message("finding.underfitting_unrelated", values))
    return _far_from_targets(finding, flow, steps)


def _far_from_targets(finding: Finding, flow: Flow, steps: int) -> Finding:
    """The finding; where outputs are still smaller than the least of the targets, with that as its cause."""
    targets, output = held_against(flow), flow.sites[-1].activation.rms if flow.sites else None
    least = min(map(abs, targets)) if targets is not None and targets[0] * targets[1] > 0 else 0.0
    if targets is None or output is None or output >= least:
        return finding
    site = flow.sites[-1].site.name
    values: dict[str, Value] = {"low": targets[0], "high": targets[1], "output": output, "site": site, "steps": steps}
    return replace(
        finding,
        evidence=(*finding.evidence, Evidence("output_rms", output, least, site, TARGET_SOURCE)),
        causes=(Cause("data_scale", None, Message("cause.data_scale.targets", values)),),
    )


def _squeezed(training: Training, narrow: SiteFlow) -> Finding:
    metric, name = training.scores[-1].metric, training.metric_name or "accuracy"
    values: dict[str, Value] = {
        "site": narrow.site.name,
        "op": narrow.site.op,
        "metric": name,
        "reached": metric,
        "units": narrow.site.shape[-1],
    }
    return Finding(
        symptom="underfitting",
        severity="warning",
        sites=(narrow.site.name,),
        evidence=(
            Evidence("training_metric", metric, ENOUGH, source=NARROW_SOURCE),
            Evidence("units", narrow.site.shape[-1], site=narrow.site.name),
        ),
        causes=(
            Cause(
                "capacity_or_label_noise",
                None,
                Message("cause.capacity_or_label_noise.narrow", values),
            ),
        ),
        prescriptions=(),
        message=Message("finding.underfitting_narrow", values),
    )


def _stalls(training: Training) -> bool:
    """Whether the loss no longer falls with less of the metric than a kernel tells, or than half of it.

    The kernel explains a share of the targets' variance on samples it was not made from, which a share of right answers
    is rarely below.
    """
    losses = [score.loss for score in training.scores if score.loss is not None]
    known, last = (
        training.validation_pairing or training.pairing,
        training.scores[-1].metric if training.scores else None,
    )
    told = known is not None and known.samples >= ENOUGH_SAMPLES and known.explained >= TOLD
    if not told or known is None or last is None or len(losses) <= 1:
        return False
    return 0.0 <= last < max(HALF, min(ENOUGH, known.explained)) and losses[-1] >= min(losses[:-1])


def _is_learnt(training: Training) -> bool:
    last = training.scores[-1].metric if training.scores else None
    return last is not None and last >= ENOUGH


def _is_low(training: Training) -> bool:
    """Whether the metric on data it is trained on is one that may end at 1, and far from there."""
    last = training.scores[-1].metric if training.scores else None
    return last is not None and 0.0 <= last < ENOUGH


def _metric_rise(training: Training) -> float | None:
    """What the metric has gained since the start, in units of its size there; ``None`` if nobody measures one."""
    known = [score.metric for score in training.scores if score.metric is not None]
    return (known[-1] - known[0]) / max(1.0, abs(known[0])) if len(known) > 1 else None


def _blocked(observation: Observation) -> Message | None:
    return needs_steps(observation.flow)


RULE = Rule("underfitting", _look, _blocked)
