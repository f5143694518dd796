"""Steps so long that they throw the loss up, or the weights somewhere from where nothing is learned any more."""

import math
import statistics
from collections.abc import Iterable

from headwater.diagnosis.decay import DECAYING, REPLACED, decay_share, hides_size
from headwater.diagnosis.prescribing_training import shorter_steps
from headwater.diagnosis.progress import is_at_its_best, is_half_way, needs_steps, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Training
from headwater.records.message import Value

WRECKING_RATIO = 0.1
LONG_RATIO = 0.01
SOURCE = "update/weight ratio: about 1e-3 is usual, above 1e-1 wrecks (CS231n notes; docs/thresholds.md)"
LOSS_SOURCE = "the first loss; three standard deviations of the last third"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    course = progress(observation.flow)
    if training is None or course is None or (decay_share(observation.flow) or 0.0) > DECAYING:
        return
    flung = course.flung
    if not flung and (is_half_way(training) or is_at_its_best(training)):
        return
    if not _moves_matrices(observation.flow):
        return
    ratios = [ratio for ratio in training.update_ratios() if math.isfinite(ratio)]
    if hides_size(observation.flow) and not flung:
        ratios = ratios[1:]  # Adam's first step is the whole rate for every weight, however small its gradient
    if not ratios:
        return
    largest, usual = max(ratios), statistics.median(ratios)
    thrown_up = flung or usual > WRECKING_RATIO
    # A loss that falls until an operation makes it NaN is that operation's matter.
    learns = course.learns and not (flung and largest > REPLACED)
    wrecked = largest > WRECKING_RATIO and not learns and (thrown_up or not course.broke)
    if not (wrecked or (course.worsens and usual > LONG_RATIO and (thrown_up or not course.broke))):
        return
    optimizer = observation.flow.optimizer or ""
    values: dict[str, Value] = {"ratio": largest, "first": course.start, "last": course.last, "optimizer": optimizer}
    yield Finding(
        symptom="lr_too_high",
        severity="critical" if course.worsens else "warning",
        sites=(),
        evidence=(
            Evidence("update_ratio", largest, WRECKING_RATIO, source=SOURCE),
            Evidence("median_update_ratio", usual, LONG_RATIO, source=SOURCE),
            Evidence("last_loss", course.last, course.start, source=LOSS_SOURCE),
            Evidence("learning_rate", _rate(observation)),
        ),
        causes=(Cause("learning_rate_high", None, Message("cause.learning_rate_high.why", values)),),
        prescriptions=shorter_steps(usual, largest),
        message=Message("finding.lr_too_high", values),
    )


def _moves_matrices(flow: Flow) -> bool:
    """Whether more than biases beside frozen weights is trained: a step of a bias from 0 is any multiple of it."""
    matrices = [p for p in flow.parameters if len(p.shape) > 1]
    return not matrices or any(p.trainable for p in matrices)


def _rate(observation: Observation) -> float | None:
    rate = observation.flow.setup.optimizer.get("lr")
    return float(rate) if rate is not None else None


def _blocked(observation: Observation) -> Message | None:
    return needs_steps(observation.flow) or _needs_ratios(observation.flow.training)


def _needs_ratios(training: Training | None) -> Message | None:
    return None if training is not None and training.update_ratios() else Message("unchecked.no_optimizer")


RULE = Rule("lr_too_high", _look, _blocked)
