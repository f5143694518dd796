"""Branch off short trainings with one thing changed in each, and say which change restores what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from headwater.intervening.branch import Branch, Grown, drawn, grow, held_out_batches, held_out_loss
from headwater.intervening.changes.change import CannotChangeError, Change
from headwater.intervening.hypotheses import changes_for, changes_for_all
from headwater.intervening.verdict import Pair, judged, with_interventions
from headwater.records import Diagnosis, Experiment, Finding, Flow, InputError, Message
from headwater.records.intervention import Budget
from headwater.remedies import seeds
from headwater.remedies.order import order_of_flow
from headwater.remedies.proof import Interrupted
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.trial import endless

Progress = Callable[[str, int, int], None]

MOST_FINDINGS = 3  # headlines that a report shows
HELD_OUT = 8  # batches, or up to twice as many of a validation set
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
        progress: ``progress("progress.intervene", done, total)`` after each step.

    Returns:
        The diagnosis, its worst findings with what was tried and the restoring cause first.

    Raises:
        KeyboardInterrupt: At Ctrl-C; its ``found`` is the diagnosis with what is known by then.
    """
    findings = [finding for finding in diagnosis.findings if finding.severity != "info"][:MOST_FINDINGS]
    if not findings:
        return diagnosis
    changes = changes_for_all(findings)
    each = budget.steps or min(max(steps, FEWEST_STEPS), MOST_STEPS)
    stream = endless(experiment, seed)
    broken = None
    try:
        held_out, validated = held_out_batches(experiment, stream, HELD_OUT)
    except InputError as error:  # a generator that the check itself has used up
        (held_out, validated), broken = ([], False), error
    if validated:  # the whole of a large set, asked for again and again, would take longer than the training
        experiment = replace(experiment, validation=lambda: held_out)
    origin = Branch(model, experiment, (), held_out, flow, order_of_flow(flow), seed or 0)
    rounds = _Rounds(origin, changes, stream, each, budget, progress)

    def told() -> Diagnosis:
        answered = {id(finding): _answered(finding, rounds.tried, validated) for finding in findings}
        return replace(diagnosis, findings=tuple(answered.get(id(f), f) for f in diagnosis.findings))

    if broken is not None:
        rounds.leave(_broke_off(broken))
        return told()
    try:
        rounds.run()
    except KeyboardInterrupt:
        rounds.leave(Message("untried.interrupted"))
        raise Interrupted(told()) from None
    return told()


def _answered(finding: Finding, tried: dict[str, _Tried], held_out: bool) -> Finding:
    own = [(change, tried[change.id]) for change in changes_for(finding)]
    return with_interventions(finding, [judged(finding, change, t.pairs, t.why, held_out) for change, t in own])


class _OutOfTimeError(Exception):
    """A branch of the first round that is not done when its time is up."""


class _Rounds:
    """Repeats of an unchanged branch and one of each change, until they are done or the time is up.

    The first round has half of the time, so that a second one fits in: a change that cannot be done by then is not
    begun, and a branch that takes longer than was foreseen is broken off.
    """

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
        self._longest = 0.0  # seconds of a branch
        self._done = 0
        self.tried = {change.id: _Tried() for change in changes}
        """What each change showed, by its id."""

    def run(self) -> None:
        """Repeat until the budget is spent, or nothing is left to try."""
        for repeat in range(self._budget.repeats):
            if all(known.why is not None for known in self.tried.values()):
                break
            if repeat >= 2 and self._spent() * (repeat + 1) / repeat > self._budget.seconds:
                break
            self._round(repeat)

    def leave(self, why: Message) -> None:
        """Try nothing any more, for this reason."""
        for known in self.tried.values():
            known.why = known.why or why

    def _round(self, repeat: int) -> None:
        first = repeat == 0
        try:
            batches = drawn(self._stream, self._steps + 1)
            start = replace(self._origin, batches=batches, seed=self._origin.seed + repeat * seeds.PLACEBO)
            control = self._grown(start.fork(), first)
        except _OutOfTimeError:
            self.leave(Message("untried.time"))
            self._advance(self._steps * len(self._changes))
            return
        except Exception as error:  # of the user's own code, further on than the check itself went
            self.leave(_broke_off(error))
            self._advance(self._steps * len(self._changes))
            return
        for change in self._changes:
            known = self.tried[change.id]
            if first and known.why is None and self._spent() + self._longest > self._half():
                known.why = Message("untried.time")
            if known.why is None:
                self._try(change, start.fork(), control, known, first)
            else:
                self._advance(self._steps)

    def _try(self, change: Change, branch: Branch, control: Grown, known: _Tried, first: bool) -> None:
        unchanged, done = replace(branch), self._done
        try:
            change.make(branch)
            grown = self._grown(branch, first)
            loss = held_out_loss(grown, branch)
            judge = branch if change.cancels else unchanged
            control_loss = held_out_loss(control, judge)
        except CannotChangeError as error:
            known.why = error.why
        except NotApplicableError as error:
            known.why = Message("untried.reach", {"reason": str(error).splitlines()[0]})
        except _OutOfTimeError:
            known.why = Message("untried.time")
        except Exception as error:
            # The user's own loss ran without the change, so whatever it raises now is an answer about the change.
            known.why = Message("untried.failed", {"error": f"{type(error).__name__}: {_first_line(error)}"})
        else:
            symptoms = control.symptoms(), grown.symptoms() - {change.cancels}
            known.pairs.append(Pair(control.flow, grown.flow, *symptoms, control_loss, loss))
        self._advance(done + self._steps - self._done)

    def _grown(self, branch: Branch, first: bool) -> Grown:
        started, done = self._spent(), self._done

        def stepped(steps: int) -> None:
            self._advance(done + steps - self._done)
            if first and self._spent() > self._half():
                raise _OutOfTimeError

        try:
            return grow(branch, stepped)
        finally:
            self._longest = max(self._longest, self._spent() - started)
            self._advance(done + self._steps - self._done)

    def _advance(self, steps: int) -> None:
        self._done += steps
        if self._progress is not None:
            total = self._steps * self._budget.repeats * (1 + len(self._changes))
            self._progress("progress.intervene", self._done, total)

    def _half(self) -> float:
        return self._budget.seconds / 2

    def _spent(self) -> float:
        return time.monotonic() - self._started


def _broke_off(error: Exception) -> Message:
    said = _first_line(error)
    said = said if isinstance(error, InputError) else f"{type(error).__name__}: {said}"
    return Message("untried.unchanged", {"error": said})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else ""
