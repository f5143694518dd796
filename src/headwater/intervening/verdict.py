"""What the branches of one change say about one finding."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headwater.diagnosis.progress import LITTLE
from headwater.intervening.changes.change import Change
from headwater.intervening.failed_number import failed_number
from headwater.records import Cause, Finding, Flow, Message
from headwater.records.intervention import Effect, Intervention, Outcome
from headwater.remedies.proof import t_interval

# A network may learn all the same with these: then a change that removes them need not show in so short a training.
_NOT_ABOUT_LEARNING = frozenset(
    [
        "vanishing",
        "exploding",
        "underflow",
        "saturation",
        "dead_units",
        "rank_collapse",
        "zigzag",
        "vanishing_through_time",
    ]
)
ROUNDING = 8 * 2.0**-23  # of a number, as float32 computes it: a few of its last places (IEEE 754)
_BEST_FIRST: tuple[Outcome, ...] = ("restores", "helps", "nothing", "harms", "cannot_tell", "not_tried")


@dataclass(frozen=True)
class Pair:
    """One repeat: a changed branch beside an unchanged one.

    Attributes:
        control: The unchanged one's last step.
        changed: The changed one's.
        control_symptoms: Of the unchanged one, severity warning or worse.
        symptoms: Of the changed one.
        control_loss: The unchanged one's held-out loss.
        loss: The changed one's.
    """

    control: Flow
    changed: Flow
    control_symptoms: frozenset[str]
    symptoms: frozenset[str]
    control_loss: float
    loss: float


def judged(
    finding: Finding, change: Change, pairs: Sequence[Pair], why: Message | None, held_out: bool
) -> Intervention:
    """What a change did about a finding.

    Args:
        finding: What was found.
        change: What was changed.
        pairs: One for each repeat.
        why: Why there are no more of them, ``None`` if all that were asked for are there.
        held_out: Whether the losses are those of validation data.
    """
    symptom = finding.symptom
    gone = sum(symptom not in pair.symptoms for pair in pairs)
    steps = max((pair.changed.step for pair in pairs), default=0)
    known = Intervention(change.cause, change.id, change.what, "not_tried", gone, len(pairs), steps, why=why)
    if len(pairs) < 2:
        return replace(known, gone=0, why=why or Message("untried.time"))
    failed, loss = _failed_effect(symptom, pairs), _loss_effect(pairs, held_out)
    known = replace(known, failed=failed, loss=loss, why=None)
    if not all(symptom in pair.control_symptoms for pair in pairs):
        return replace(known, outcome="cannot_tell", why=Message("untried.symptom", {"steps": steps}))
    return replace(known, outcome=_outcome(symptom, gone == len(pairs), failed, loss))


def _outcome(symptom: str, gone: bool, failed: Effect | None, loss: Effect) -> Outcome:
    better, worse = loss.surely_better, loss.surely_worse
    if gone and (better or (symptom in _NOT_ABOUT_LEARNING and not worse)):
        return "restores"
    if worse and _matters(loss) and (not gone or symptom not in _NOT_ABOUT_LEARNING):
        return "harms"
    if not gone and failed is not None and failed.surely_worse and _matters(failed):
        return "harms"  # a loss that falls all the same is no help against what was found
    moved = failed is not None and failed.surely_better and _matters(failed)
    return "helps" if (better and _matters(loss)) or moved or (gone and not worse) else "nothing"


def _matters(effect: Effect) -> bool:
    """Whether a number has changed by more than a little of itself, or between some number and none."""
    return not abs(effect.change) <= LITTLE * abs(effect.before)


def _failed_effect(symptom: str, pairs: Sequence[Pair]) -> Effect | None:
    number = failed_number(symptom)
    if number is None:
        return None
    read = [(number.read(pair.control), number.read(pair.changed)) for pair in pairs]
    known = [(before, after) for before, after in read if before is not None and after is not None]
    return _effect(number.statistic, number.better, known) if len(known) == len(pairs) else None


def _loss_effect(pairs: Sequence[Pair], held_out: bool) -> Effect:
    return _effect(
        "validation_loss" if held_out else "training_loss", -1, [(pair.control_loss, pair.loss) for pair in pairs]
    )


def _effect(statistic: str, better: int, pairs: Sequence[tuple[float, float]]) -> Effect:
    before, after = (sum(values) / len(values) for values in zip(*pairs, strict=True))
    differences = [later - earlier for earlier, later in pairs]
    if not all(map(math.isfinite, (*differences, sum(differences)))):
        return Effect(statistic, before, after, (math.nan, math.nan), better)
    low, high = t_interval(differences)
    # Repeats that agree to the last digit have an interval of no width, although they all round alike.
    rounding = ROUNDING * max(abs(before), abs(after))
    return Effect(statistic, before, after, (low - rounding, high + rounding), better)


def with_interventions(finding: Finding, interventions: Sequence[Intervention]) -> Finding:
    """The finding with what was tried, and what restored it as its first cause.

    Of several that restore, the one that leaves the smallest loss; the cause the measurement named stays first if its
    own change restores too and the losses cannot be told apart, or if no change could test it.
    """
    ranked = sorted(interventions, key=lambda tried: (_BEST_FIRST.index(tried.outcome), _loss_after(tried)))
    named = [cause.id for cause in finding.causes]
    restoring = [tried for tried in ranked if tried.outcome == "restores"]
    agreeing = [tried for tried in restoring if named and tried.cause == named[0]]
    if agreeing and not _surely_better(restoring[0], agreeing[0]):
        ranked.remove(agreeing[0])
        ranked.insert(0, agreeing[0])
        restoring = [tried for tried in ranked if tried.outcome == "restores"]
    untested = [cause for cause in named[:1] if cause != "cannot_tell" and not _is_tested(cause, interventions)]
    shown = dict.fromkeys([*(untested if restoring else []), *(tried.cause for tried in restoring)])
    known = {cause.id: cause for cause in finding.causes}
    first = tuple(known.get(cause) or _new_cause(cause, restoring) for cause in shown)
    rest = tuple(c for c in finding.causes if c.id not in shown and not (first and c.id == "cannot_tell"))
    return replace(finding, causes=first + rest, interventions=tuple(ranked))


def _is_tested(cause: str, interventions: Sequence[Intervention]) -> bool:
    return any(tried.cause == cause and tried.repeats for tried in interventions)


def _loss_after(tried: Intervention) -> float:
    after = tried.loss.after if tried.loss is not None else math.inf
    return after if not math.isnan(after) else math.inf


def _surely_better(one: Intervention, other: Intervention) -> bool:
    """Whether one change leaves a smaller loss than another by more than both are known to."""
    if one is other or one.loss is None or other.loss is None:
        return False
    reach = statistics.fmean(abs(e.interval[1] - e.change) for e in (one.loss, other.loss))
    return other.loss.after - one.loss.after > reach


def _new_cause(cause: str, restoring: Sequence[Intervention]) -> Cause:
    tried = next(tried for tried in restoring if tried.cause == cause)
    return Cause(cause, None, Message("intervention.named", {"gone": tried.gone, "repeats": tried.repeats}))
