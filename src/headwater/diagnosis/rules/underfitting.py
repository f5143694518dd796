"""The training gets nowhere: neither the loss nor the metric is better after it than before.

What it comes from is another finding's matter; where there is none, nobody can tell from this run alone. Until the
weights have gone a way as long as they are themselves it may just be early, and is only noted.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.progress import needs_steps, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import lr_too_high
from headwater.records import Cause, Evidence, Finding, Message, Training
from headwater.records.message import Value

IMPROVED = 0.02  # of a metric that ends at 1
FAR = 1.0
WAY_SOURCE = "sum of ‖Δw‖/‖w‖: the weights could have become others altogether"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    course = progress(training)
    if training is None or course is None or course.learns or _metric_rises(training):
        return
    moved = sum(ratio for ratio in training.update_ratios() if math.isfinite(ratio))
    values: dict[str, Value] = {"first": course.first, "last": course.last, "steps": len(training.steps)}
    yield Finding(
        symptom="underfitting",
        severity="warning" if moved >= FAR else "info",
        sites=(),
        evidence=(
            Evidence("last_loss", course.last, course.first, source=lr_too_high.LOSS_SOURCE),
            Evidence("loss_noise", course.noise),
            Evidence("way", moved, FAR, source=WAY_SOURCE),
        ),
        causes=(Cause("cannot_tell", None, Message("cause.cannot_tell.why")),),
        prescriptions=(),
        message=Message("finding.underfitting", values),
    )


def _metric_rises(training: Training) -> bool:
    known = [score.metric for score in training.scores if score.metric is not None]
    return len(known) > 1 and known[-1] - known[0] > IMPROVED * max(1.0, abs(known[0]))


def _blocked(observation: Observation) -> Message | None:
    return needs_steps(observation.flow.training)


RULE = Rule("underfitting", _look, _blocked)
