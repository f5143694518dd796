"""Each step takes back most of the one before: the learning rate is at the edge of what the curvature allows.

On a parabola of curvature λ the gradient turns round at every step once the rate is above 1/λ, and the way grows above
2/λ. The noise of batches makes successive gradients independent; but two batches that are all there is are opposed as
soon as the weights suit both together. So it is only noted while the loss falls, by its steps or on the same samples.
"""

import statistics
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import calmer_steps
from headwater.diagnosis.progress import LITTLE, progress, stays_below
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

OPPOSED = -0.5
MIN_PAIRS = 6
SOURCE = "cosine of successive gradients; -1 on a parabola between 1/λ and 2/λ; docs/thresholds.md"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    cosines = training.cosines()[-len(training.steps) // 2 :] if training is not None else []
    usual = statistics.median(cosines) if cosines else 0.0
    if usual >= OPPOSED:
        return
    course = progress(observation.flow)
    falls = (course is not None and course.learns) or stays_below(observation.flow, 1 - LITTLE)
    values: dict[str, Value] = {"cosine": usual, "steps": len(cosines)}
    yield Finding(
        symptom="oscillation",
        severity="info" if falls else "warning",
        sites=(),
        evidence=(Evidence("gradient_cosine", usual, OPPOSED, source=SOURCE),),
        causes=(Cause("learning_rate_high", None, Message("cause.learning_rate_high.turns", values)),),
        prescriptions=calmer_steps(),
        message=Message("finding.oscillation", values),
    )


def _blocked(observation: Observation) -> Message | None:
    training = observation.flow.training
    return None if training is not None and len(training.cosines()) >= MIN_PAIRS else Message("unchecked.no_steps")


RULE = Rule("oscillation", _look, _blocked)
