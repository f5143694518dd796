"""Branch off short trainings with one thing changed in each, and say which change restores what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from torch import nn

from headwater.intervening.branch import Branch, Grown, grow, held_out_batches, held_out_loss
from headwater.intervening.changes.change import CannotChangeError, Change
from headwater.intervening.hypotheses import changes_for, changes_for_all
from headwater.intervening.verdict import Pair, judged, with_interventions
from headwater.records import Diagnosis, Experiment, Finding, Flow, Message
from headwater.records.intervention import Budget
from headwater.remedies import seeds
from headwater.remedies.order import order_of_flow
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.trial import endless

Progress = Callable[[str, int, int], None]

MOST_FINDINGS = 3  # headlines that a report shows
HELD_OUT = 8  # batches
FEWEST_STEPS, MOST_STEPS = 30, 100


@dataclass
class _Tried:
    """What is known of one change so far."""

    pairs: list[Pair] = field(default_factory=list)
    why: Message | None = None


def intervene(
    experiment: Experiment,
    model: nn.Module,
    flow: Flow,
    diagnosis: Diagnosis,
    budget: Budget,
    steps: int,
    seed: int | None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Test the causes of the worst findings, and those of others that they could be mistaken for.

    All branches start from the same weights. In each repeat the changed branches train on the very batches that the
    unchanged one trains on, and draw the same random numbers.

    Args:
        experiment: With an optimizer.
        model: As it was before any step; only copies are trained.
        flow: What it showed then.
        diagnosis: What was found, then or after a training.
        budget: How much to train.
        steps: How many the check trained.
        seed: Of the branches' data and draws.
        progress: ``progress("progress.intervene", done, total)`` in steps.

    Returns:
        The diagnosis, its worst findings with what was tried and the restoring cause first.
    """
    findings = [finding for finding in diagnosis.findings if finding.severity != "info"][:MOST_FINDINGS]
    if not findings:
        return diagnosis
    changes = changes_for_all(findings)
    each = budget.steps or min(max(steps, FEWEST_STEPS), MOST_STEPS)
    stream = endless(experiment, seed)
    held_out, validated = held_out_batches(experiment, stream, HELD_OUT)
    origin = Branch(model, experiment, (), held_out, flow, order_of_flow(flow), seed or 0)
    rounds = _Rounds(origin, changes, stream, each, budget, progress)
    tried = rounds.run()
    answered = {id(finding): _answered(finding, tried, validated) for finding in findings}
    return replace(diagnosis, findings=tuple(answered.get(id(f), f) for f in diagnosis.findings))


def _answered(finding: Finding, tried: dict[str, _Tried], held_out: bool) -> Finding:
    own = [(change, tried[change.id]) for change in changes_for(finding)]
    return with_interventions(finding, [judged(finding, change, t.pairs, t.why, held_out) for change, t in own])


class _Rounds:
    """Repeats of an unchanged branch and one of each change, until they are done or the time is up."""

    def __init__(
        self,
        origin: Branch,
        changes: Sequence[Change],
        stream: Iterator[Any],
        steps: int,
        budget: Budget,
        progress: Progress | None,
    ) -> None:
        self._origin, self._changes, self._stream = origin, changes, stream
        self._steps, self._budget, self._progress = steps, budget, progress
        self._started = time.monotonic()
        self._done = 0
        self._tried = {change.id: _Tried() for change in changes}

    def run(self) -> dict[str, _Tried]:
        """What each change showed, by its id."""
        for repeat in range(self._budget.repeats):
            if all(known.why is not None for known in self._tried.values()):
                break
            if repeat >= 2 and self._spent() * (repeat + 1) / repeat > self._budget.seconds:
                break
            self._round(repeat)
        return self._tried

    def _round(self, repeat: int) -> None:
        batches = list(islice(self._stream, self._steps + 1))
        start = replace(self._origin, batches=batches, seed=self._origin.seed + repeat * seeds.PLACEBO)
        control = self._grown(start.fork())
        for change in self._changes:
            known = self._tried[change.id]
            late = repeat == 0 and self._spent() > self._budget.seconds / 2  # a second round must fit in
            if late and known.why is None:
                known.why = Message("untried.time")
            if known.why is None:
                self._try(change, start.fork(), control, known)
            self._advance(self._steps)

    def _try(self, change: Change, branch: Branch, control: Grown, known: _Tried) -> None:
        unchanged = replace(branch)
        try:
            change.make(branch)
            grown = grow(branch)
            loss = held_out_loss(grown.model, branch)
            judge = branch if change.cancels else unchanged
            control_loss = held_out_loss(control.model, judge)
        except CannotChangeError as error:
            known.why = error.why
        except NotApplicableError as error:
            known.why = Message("untried.reach", {"reason": str(error).splitlines()[0]})
        except Exception as error:
            # The user's own loss ran without the change, so whatever it raises now is an answer about the change.
            known.why = Message("untried.failed", {"error": f"{type(error).__name__}: {_first_line(error)}"})
        else:
            symptoms = control.symptoms(), grown.symptoms() - {change.cancels}
            known.pairs.append(Pair(control.flow, grown.flow, *symptoms, control_loss, loss))

    def _grown(self, branch: Branch) -> Grown:
        grown = grow(branch)
        self._advance(self._steps)
        return grown

    def _advance(self, steps: int) -> None:
        self._done += steps
        if self._progress is not None:
            total = self._steps * self._budget.repeats * (1 + len(self._changes))
            self._progress("progress.intervene", self._done, total)

    def _spent(self) -> float:
        return time.monotonic() - self._started


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else ""
