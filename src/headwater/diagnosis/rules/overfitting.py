"""The model knows its training data by heart and is much worse on data it has not seen."""

import math
from collections.abc import Iterable
from itertools import pairwise

from headwater.diagnosis.dependence import LITTLE, is_by_heart
from headwater.diagnosis.dependence import SOURCE as PAIRING_SOURCE
from headwater.diagnosis.prescribing_training import against_overfitting
from headwater.diagnosis.progress import ABOVE_CHANCE, MIN_STEPS, chance_loss
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Score, Training
from headwater.records.message import Value

BY_HEART = 0.995
GAP = 0.10
SIGMAS = 3.0
SCORED = 8  # batches that are scored of the training data
LEARNT, NOTHING = 0.15, 0.05
NOTHING_SOURCE = "a seventh more of the training data right than at the start, hardly any more of the others"
FALLEN = 0.8  # of the loss at the start, and of the held-out loss
NOTHING_LOSS_SOURCE = "a fifth of the training loss gone, and the held-out loss above what it was before the first step"
RISE = 1.2  # of the held-out loss over its least
TIMES = 2.0  # the training loss
SOURCE = "nearly all of the training data right, a tenth less of the others (docs/thresholds.md)"
LOSS_SOURCE = "held-out loss a fifth above its least and twice the training loss (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    training = observation.flow.training
    if training is None or not training.scores:
        return
    last = training.scores[-1]
    if observation.flow.step < MIN_STEPS and not _is_by_heart_alone(last):
        return  # so few batches are known a bit better than others by having been seen just now
    if is_by_heart(training):
        yield _unrelated(training)
    elif _loses_what_it_learns(training) and not _is_at_chance(observation.flow, last):
        yield _without_carrying_over(training.scores[0], last)
    elif _is_share(last):
        yield from _by_metric(training, last, min(SCORED, observation.flow.step) * observation.flow.samples)
    else:
        yield from _by_loss(training, last)


def _is_by_heart_alone(last: Score) -> bool:
    return last.metric is not None and last.metric >= BY_HEART


def _unrelated(training: Training) -> Finding:
    """What was learnt of the data trained on tells nothing about others."""
    seen, unseen = training.dependence, training.validation_dependence
    assert seen is not None
    assert unseen is not None
    values: dict[str, Value] = {"seen": seen.loss, "unseen": unseen.loss, "exchanged": unseen.exchanged}
    share = (unseen.exchanged - unseen.loss) / abs(unseen.exchanged)
    evidence = (Evidence("pairing_gain", share, LITTLE, source=PAIRING_SOURCE), Evidence("training_loss", seen.loss))
    return _finding(evidence, Message("finding.overfitting_unrelated", values), "nothing_over")


def _loses_what_it_learns(training: Training) -> bool:
    """Whether the training loss has fallen well, and the held-out loss has risen since before the first step.

    Few samples may have been hard at first by chance: the one must have gone below the other. And a held-out loss that
    goes up and down by more than it has risen has not risen.
    """
    first, last = training.scores[0], training.scores[-1]
    if first.loss is None or last.loss is None or first.validation_loss is None or last.validation_loss is None:
        return False
    rise = last.validation_loss - first.validation_loss
    apart = last.loss < FALLEN * min(first.loss, last.validation_loss)
    return last.loss > 0 and apart and rise > _swing(training)


def _is_at_chance(flow: Flow, last: Score) -> bool:
    """Whether the training loss is no better than a guess, from however far above it has come."""
    chance = chance_loss(flow)
    return chance is not None and last.loss is not None and last.loss > ABOVE_CHANCE * chance


def _swing(training: Training) -> float:
    """The furthest that the held-out loss falls from one score to the next after it had risen."""
    held_out = [score.validation_loss for score in training.scores if score.validation_loss is not None]
    moves = [after - before for before, after in pairwise(held_out)]
    first_rise = next((index for index, move in enumerate(moves) if move > 0), len(moves))
    return max((-move for move in moves[first_rise:]), default=0.0) if moves else 0.0


def _without_carrying_over(first: Score, last: Score) -> Finding:
    evidence = (
        Evidence("validation_loss", last.validation_loss, first.validation_loss, source=NOTHING_LOSS_SOURCE),
        Evidence("training_loss", last.loss, FALLEN * (first.loss or 0.0), source=NOTHING_LOSS_SOURCE),
    )
    values: dict[str, Value] = {"seen": last.loss, "unseen": last.validation_loss, "least": first.validation_loss}
    return _finding(evidence, Message("finding.overfitting_loss", values), "nothing_over")


def _is_share(score: Score) -> bool:
    """Whether the metric is one that ends at 1: an accuracy."""
    known = [value for value in (score.metric, score.validation_metric) if value is not None]
    return len(known) == len(("train", "held out")) and all(0.0 <= value <= 1.0 for value in known)


def _by_metric(training: Training, last: Score, samples: int) -> Iterable[Finding]:
    seen, unseen = last.metric or 0.0, last.validation_metric or 0.0
    if seen - unseen <= _chance(unseen, samples):
        return
    first, values = training.scores[0], dict[str, Value](seen=100 * seen, unseen=100 * unseen)
    if _carries_nothing_over(first.metric, seen, first.validation_metric, unseen):
        evidence = (
            Evidence("training_metric", seen, (first.metric or 0.0) + LEARNT, source=NOTHING_SOURCE),
            Evidence("validation_metric", unseen, (first.validation_metric or 0.0) + NOTHING, source=NOTHING_SOURCE),
        )
        yield _finding(evidence, Message("finding.overfitting_nothing", values), "nothing_over")
    elif seen >= BY_HEART and seen - unseen >= GAP:
        evidence = (
            Evidence("training_metric", seen, BY_HEART, source=SOURCE),
            Evidence("validation_metric", unseen, seen - GAP, source=SOURCE),
        )
        name = training.metric_name or "accuracy"
        yield _finding(evidence, Message("finding.overfitting", {"metric": name, **values}))


def _chance(share: float, samples: int) -> float:
    """How far above a share that many samples may lie by chance, which know no more than others do."""
    return SIGMAS * math.sqrt(share * (1 - share) / samples) if samples else 0.0


def _carries_nothing_over(first: float | None, seen: float, first_unseen: float | None, unseen: float) -> bool:
    """Whether the training data are being learnt, and the others are guessed as before, and now worse than those."""
    if first is None or first_unseen is None:
        return False
    return seen - first > LEARNT and unseen - first_unseen < NOTHING and seen - unseen > GAP


def _by_loss(training: Training, last: Score) -> Iterable[Finding]:
    held_out = [score.validation_loss for score in training.scores if score.validation_loss is not None]
    if last.loss is None or last.validation_loss is None or not held_out or last.loss <= 0:
        return
    least = min(held_out)
    if least > 0 and last.validation_loss > RISE * least and last.validation_loss > TIMES * last.loss:
        evidence = (
            Evidence("validation_loss", last.validation_loss, RISE * least, source=LOSS_SOURCE),
            Evidence("training_loss", last.loss, last.validation_loss / TIMES, source=LOSS_SOURCE),
        )
        values: dict[str, Value] = {"seen": last.loss, "unseen": last.validation_loss, "least": least}
        yield _finding(evidence, Message("finding.overfitting_loss", values))


def _finding(evidence: tuple[Evidence, ...], message: Message, why: str = "by_heart") -> Finding:
    return Finding(
        symptom="overfitting",
        severity="warning",
        sites=(),
        evidence=evidence,
        causes=(Cause("capacity_or_label_noise", None, Message(f"cause.capacity_or_label_noise.{why}")),),
        prescriptions=against_overfitting(),
        message=message,
    )


def _blocked(observation: Observation) -> Message | None:
    training = observation.flow.training
    if training is None:
        return Message("unchecked.no_steps")
    known = any(score.validation_loss is not None for score in training.scores)
    return None if known else Message("unchecked.no_validation")


RULE = Rule("overfitting", _look, _blocked)
