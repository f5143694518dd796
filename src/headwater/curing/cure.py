"""The way from a report to a cure."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from headwater.curing.candidates import Remedies, candidates, left_out, regularises
from headwater.curing.halving import SHORTEST, Halving, Progress, Tell
from headwater.curing.suspects import suspects
from headwater.diagnosis.progress import is_half_way
from headwater.intervening.failed_number import failed_number
from headwater.probes.measure import measure
from headwater.records import Candidate, Experiment, Finding, InputError, Measure, Message, Proof
from headwater.records.cure import CureVerdict
from headwater.remedies.edits import Edit, as_code
from headwater.remedies.edits_rate import scaled
from headwater.remedies.held_out import HeldOut, kind_of
from headwater.remedies.journal import Journal
from headwater.remedies.proof import Design, Interrupted, _metric_name, checked_seeds, prove_with, set_the_rate
from headwater.remedies.runner import Runner, Source, running
from headwater.remedies.surgery import repaired
from headwater.remedies.trial import copied, made
from headwater.remedies.tuning import RATES, checked_rates
from headwater.report import Cure, Report

# Of the time there is, what the search may take; the rest is the proof's, which trains longer.
_SEARCH = 0.45


@dataclass(frozen=True)
class Wish:
    """How a cure is to be looked for.

    Attributes:
        seeds: Of the proof, at most.
        steps: Optimizer steps of a full run.
        budget_s: After so many seconds nothing begins but what a verdict needs; ``None`` for no limit.
        rates: Factors on the learning rate.
        jobs: Processes, ``None`` for one per processor.
        source: Makes the experiment in another process.
        journal: Where finished runs are kept.
    """

    seeds: int | Sequence[int] = 5
    steps: int = 200
    budget_s: float | None = None
    rates: Sequence[float] = RATES
    jobs: int | None = 1
    source: Source | None = None
    journal: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        checked_seeds(self.seeds)
        if not isinstance(self.steps, int) or self.steps < SHORTEST:
            raise InputError(
                f"steps={self.steps!r} is too few to tell a repair from chance: a whole number from {SHORTEST}, "
                "steps=200."
            )
        if self.budget_s is not None and not self.budget_s > 0:
            raise InputError(f"budget_seconds is a number above 0, got {self.budget_s!r}: budget_seconds=60.")


RATE = "optimisation.learning_rate"


def needs_training(report: Report) -> bool:
    """Whether a report before any step says too little to act on: nothing critical that a remedy is known for."""
    return not any(finding.severity == "critical" and _has_remedy(finding) for finding in report.findings)


def untreated(report: Report) -> bool:
    """Whether the worst of what was found has no remedy, or no cause: then an experiment has to name one."""
    wrong = [finding for finding in report.findings if finding.severity != "info"]
    return bool(wrong) and (not _has_remedy(wrong[0]) or [c.id for c in wrong[0].causes[:1]] in ([], ["cannot_tell"]))


def has_healed(before: Report, report: Report) -> bool:
    """Whether a training went on as it should though something a remedy is known for was wrong before it.

    A network may learn a little in spite of that, and much without it: only an experiment can tell. Where the metric
    has gone half of its way there is nothing to ask.
    """
    if any(finding.severity != "info" for finding in report.findings):
        return False
    training = report.flow.training
    wrong = [finding for finding in before.findings if finding.severity != "info"]
    return any(map(_has_remedy, wrong)) and not (training is not None and is_half_way(training))


def _has_remedy(finding: Finding) -> bool:
    """Whether it is prescribed a change that can be made; some prescriptions are advice in words."""
    return any(prescription.remedies for prescription in finding.prescriptions)


def cured(
    experiment: Experiment,
    report: Report,
    wish: Wish,
    started: float,
    tell: Tell | None = None,
    progress: Progress | None = None,
    healed: bool = False,
) -> Cure:
    """Look for a repair of what a report found, and prove it on seeds that were not used to find it.

    Args:
        experiment: With optimizer and validation.
        report: Of this experiment.
        wish: How to look.
        started: ``time.monotonic()`` when the whole began.
        tell: Called with the standing of the candidates, as it changes.
        progress: Called with a message id and with steps done and in all.
        healed: Whether a training finds nothing wrong any more: then what is not proven leaves nothing to fix.

    Raises:
        InputError: If the experiment lacks a part.
        Interrupted: At Ctrl-C; it holds what is known by then.
    """
    wrong = tuple(finding for finding in report.findings if finding.severity != "info")
    made_of = _Made(experiment, report, wrong, started)
    tried = candidates(wrong, report.flow)
    unnamed = () if tried else suspects(report)
    if not tried and not unnamed:
        return made_of.nothing(*_without_candidates(report, wrong))
    made_of.foreseen = left_out(wrong, report.flow)
    tried = tried or unnamed
    separate = regularises(tried)
    if separate:  # told before anything runs
        HeldOut(experiment, kind_of(experiment, separate)).batches("choose")
    own = checked_seeds(wish.seeds)
    with running(experiment, kind_of(experiment, separate), own[0], wish.jobs, wish.source) as runner:
        rates = checked_rates(wish.rates, experiment, own[0])
        runner.journal = Journal(wish.journal, _about(runner, tried, own, wish, rates))
        by_rate = not (healed or unnamed)
        cure = _search_and_prove(runner, tried, own, rates, wish, made_of, tell, progress, by_rate=by_rate)
        runner.journal.done()
    if unnamed:
        return _of_suspects(cure, report, wrong)
    if healed and cure.verdict != "proven":
        return replace(cure, verdict="nothing_to_fix", notes=(*cure.notes, Message("cure.note_healed")))
    return cure


def _of_suspects(cure: Cure, report: Report, wrong: tuple[Finding, ...]) -> Cure:
    """What was tried without a rule that names it: proven or not, that is told."""
    if cure.verdict == "proven":
        return replace(cure, notes=(*cure.notes, Message("cure.note_unnamed")))
    verdict, why = _without_candidates(report, wrong)
    return replace(cure, verdict=verdict, notes=(*cure.notes, Message("cure.note_suspects"), why))


def _search_and_prove(
    runner: Runner,
    tried: Sequence[Remedies],
    own: tuple[int, ...],
    rates: tuple[float, ...],
    wish: Wish,
    made_of: _Made,
    tell: Tell | None,
    progress: Progress | None,
    by_rate: bool,
) -> Cure:
    separate = regularises(tried)
    end = math.inf if wish.budget_s is None else made_of.started + wish.budget_s
    search_end = math.inf if wish.budget_s is None else made_of.started + _SEARCH * wish.budget_s
    search = Halving(runner, tried, wish.steps, rates, own[0], search_end)
    winner: Remedies | None = None
    try:
        winner = search.search(tell, progress)
        made_of.candidates, made_of.notes = search.standings(winner), tuple(runner.notes)
        if winner is None:
            cure = made_of.nothing("not_proven", Message("cure.note_none_better"))
            return _by_the_rate_alone(cure, runner, own, wish, made_of, end, progress, separate) if by_rate else cure
        if tell is not None:
            tell(Message("cure.proving", {"remedies": " + ".join(winner)}))
        grid = (1.0,) if set_the_rate(winner) else search.rates_left(winner)
        proof = prove_with(runner, Design(winner, own, wish.steps, grid, True, end), progress, separate)
        cure = made_of.proven(runner, winner, proof)
        if cure.verdict == "proven" or set_the_rate(winner) or not by_rate:
            return cure
        return _by_the_rate_alone(cure, runner, own, wish, made_of, end, progress, separate)
    except Interrupted as stopped:
        cure = made_of.nothing("not_proven")
        raise Interrupted(replace(cure, proof=stopped.found, interrupted=True)) from None
    except KeyboardInterrupt:
        made_of.candidates = search.standings(None)
        raise Interrupted(replace(made_of.nothing("not_proven"), interrupted=True)) from None


def _by_the_rate_alone(
    cure: Cure,
    runner: Runner,
    own: tuple[int, ...],
    wish: Wish,
    made_of: _Made,
    end: float,
    progress: Progress | None,
    separate: bool,
) -> Cure:
    """Where no candidate does better than the original at its best rate, that rate may be the cure: put to the proof
    against the original as it is. The rate was chosen on seeds that are not the proof's.

    Rates that are prescribed do not stand in its way: they are decades apart, and may have lost to a change that only
    did as well at this very rate.
    """
    rate = next((c.rate for c in made_of.candidates if c.standing == "original"), 1.0)
    remedies = (f"{RATE}:{rate:g}",)
    if rate == 1.0 or remedies in (c.remedies for c in made_of.candidates if c.standing == "winner"):
        return cure
    try:
        proof = prove_with(runner, Design(remedies, own, wish.steps, (1.0,), True, end), progress, separate)
    except InputError:  # an optimizer without one rate to multiply
        return cure
    found = made_of.proven(runner, remedies, proof)
    if found.verdict != "proven":
        return cure
    return replace(found, notes=(*found.notes, Message("cure.note_rate_alone")))


@dataclass
class _Made:
    """What every cure of one call has in common."""

    experiment: Experiment
    report: Report
    wrong: tuple[Finding, ...]
    started: float
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[Message, ...] = ()
    foreseen: tuple[Message, ...] = ()

    def nothing(self, verdict: CureVerdict, *notes: Message) -> Cure:
        """A cure that changes nothing."""
        seconds = time.monotonic() - self.started
        cure = Cure(
            verdict=verdict,
            remedies=(),
            rate=1.0,
            patch="",
            where=None,
            proof=None,
            metric=_metric_name(self.experiment),
            metric_before=None,
            metric_after=None,
            measure=None,
            findings=self.wrong,
            candidates=self.candidates,
            run=replace(self.report.run, wall_time_s=seconds),
            notes=(*self.foreseen, *self.notes, *notes),
        )
        return cure.making(lambda: self._model(()))

    def proven(self, runner: Runner, winner: Remedies, proof: Proof) -> Cure:
        """What the proof says; a change only if it is proven."""
        told = replace(
            self.nothing("not_proven"),
            proof=proof,
            metric_before=proof.metric_before,
            metric_after=proof.metric_after,
            measure=_measure(runner, self.wrong[0], winner, proof) if self.wrong else None,
        )
        if proof.verdict != "proven":
            return told.making(lambda: self._model(()))
        rate = next((t.rate for t in proof.tuned if t.arm == "treated"), proof.rates[0])
        edits = scaled(rate) + runner.bench.edits(proof.seeds[0], winner)
        code = as_code(edits)
        where = "cure.where_optimizer" if "def repair_optimizer(" in code else "cure.where"
        found = replace(told, verdict="proven", remedies=winner, rate=rate, patch=code, where=Message(where))
        return found.making(lambda: self._model(edits))

    def _model(self, edits: tuple[Edit, ...]) -> nn.Module:
        model: nn.Module = made(self.experiment, "model")
        return repaired(model, edits) if edits else copied(model)


def _without_candidates(report: Report, wrong: tuple[Finding, ...]) -> tuple[CureVerdict, Message]:
    if wrong:
        return "not_proven", Message("cure.note_no_remedy")
    if report.verdict == "cannot_tell":
        return "not_proven", Message("cure.note_cannot_tell")
    return "nothing_to_fix", Message("cure.note_healthy")


def _measure(runner: Runner, finding: Finding, winner: Remedies, proof: Proof) -> Measure | None:
    """The number that failed, read off one step of the untrained original and of the untrained repaired."""
    number = failed_number(finding.symptom)
    if number is None:
        return None
    read: Callable[[Any], float | None] = number.read
    pairs = []
    for seed in proof.seeds:
        before = read(runner.bench.base(seed)[1])
        first = runner.bench.batches(seed, 1)[0]
        model = runner.bench.treated(seed, winner)
        after = read(measure(model, first, runner.bench.experiment.loss))
        if before is None or after is None:
            return None
        pairs.append((before, after))
    before_all, after_all = zip(*pairs, strict=True)
    return Measure(number.statistic, number.better, before_all, after_all)


def _about(
    runner: Runner, tried: Sequence[Remedies], own: tuple[int, ...], wish: Wish, rates: tuple[float, ...]
) -> dict[str, Any]:
    """What makes a journal that of this cure."""
    return {
        "experiment": runner.identity.mark,
        "candidates": tried,
        "seeds": own,
        "steps": wish.steps,
        "rates": rates,
        "threads": runner.threads,
        "torch": torch.__version__,
    }
