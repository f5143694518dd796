"""The training gets nowhere: neither the loss nor the metric is better after it than before.

What it comes from is another finding's matter; where there is none, nobody can tell from this run alone. Until the
weights have gone a way as long as they are themselves it may just be early, and is only noted.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.progress import decay_share, needs_steps, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import lr_too_high
from headwater.records import Cause, Evidence, Finding, Message, Training
from headwater.records.message import Value

IMPROVED = 0.1  # of a metric that ends at 1: a few hundred samples tell chance from half of that
FAR = 1.0
DECAYING = lr_too_high.DECAYING
DECAY_SOURCE = "half of a step: the weights go to zero faster than anywhere else"
WAY_SOURCE = "sum of ‖Δw‖/‖w‖: the weights could have become others altogether"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    course = progress(observation.flow)
    if training is None or course is None or course.learns or _metric_rises(training):
        return
    decay = decay_share(observation.flow) or 0.0
    moved = sum(ratio for ratio in training.update_ratios() if math.isfinite(ratio))
    values: dict[str, Value] = {"first": course.start, "last": course.last, "steps": len(training.steps)}
    yield Finding(
        symptom="underfitting",
        severity="warning" if moved >= FAR or decay > DECAYING else "info",
        sites=(),
        evidence=(
            Evidence("last_loss", course.last, course.start, source=lr_too_high.LOSS_SOURCE),
            Evidence("loss_noise", course.noise),
            Evidence("way", moved, FAR, source=WAY_SOURCE),
            *([Evidence("decay_share", decay, DECAYING, source=DECAY_SOURCE)] if decay > DECAYING else []),
        ),
        causes=(_cause(observation, decay),),
        prescriptions=(),
        message=Message("finding.underfitting", values),
    )


def _cause(observation: Observation, decay: float) -> Cause:
    if decay <= DECAYING:
        return Cause("cannot_tell", None, Message("cause.cannot_tell.why"))
    weight_decay = observation.flow.setup.optimizer.get("weight_decay")
    values: dict[str, Value] = {"percent": 100 * min(decay, 1.0), "decay": weight_decay}
    return Cause("weight_decay_high", None, Message("cause.weight_decay_high.why", values))


def _metric_rises(training: Training) -> bool:
    known = [score.metric for score in training.scores if score.metric is not None]
    return len(known) > 1 and known[-1] - known[0] > IMPROVED * max(1.0, abs(known[0]))


def _blocked(observation: Observation) -> Message | None:
    return needs_steps(observation.flow)


RULE = Rule("underfitting", _look, _blocked)
