"""Steps so short that the training does not get anywhere, though the gradient is there."""

import math
import statistics
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import longer_steps
from headwater.diagnosis.progress import SHORT_RATIO, progress, takes_short_steps
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import lr_too_high
from headwater.records import Cause, Evidence, Finding, Message, Training
from headwater.records.message import Value

SOURCE = "update/weight ratio: about 1e-3 is usual (CS231n notes; docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    course = progress(observation.flow)
    if training is None or course is None or course.learns or course.worsens:
        return
    usual = statistics.median(training.update_ratios())
    if not takes_short_steps(observation.flow) or not _has_gradient(training):
        return
    values: dict[str, Value] = {
        "ratio": usual,
        "percent": 100 * usual * len(training.steps),
        "steps": len(training.steps),
        "optimizer": observation.flow.optimizer or "",
    }
    yield Finding(
        symptom="lr_too_low",
        severity="warning",
        sites=(),
        evidence=(
            Evidence("median_update_ratio", usual, SHORT_RATIO, source=SOURCE),
            Evidence("last_loss", course.last, course.start, source=lr_too_high.LOSS_SOURCE),
        ),
        causes=(Cause("learning_rate_low", None, Message("cause.learning_rate_low.short", values)),),
        prescriptions=longer_steps(usual),
        message=Message("finding.lr_too_low", values),
    )


def _has_gradient(training: Training) -> bool:
    """Whether there usually is a gradient that a longer step could follow."""
    known = [step.log10_gradient > -math.inf for step in training.steps if step.log10_gradient is not None]
    return sum(known) > len(known) / 2


RULE = Rule("lr_too_low", _look, lr_too_high.RULE.blocked)
