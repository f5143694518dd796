"""Successive halving: all candidates train a little, the better half goes on, and the last ones train in full.

What breaks off is out, and the rest goes on. The original trains beside them at the same learning rates, so that
nothing is taken for better that only had a better rate.

Source: Jamieson and Talwalkar 2016, arXiv:1502.07943, algorithm 1.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headwater.curing.candidates import Remedies, regularises
from headwater.records import Candidate, InputError, Message
from headwater.records.cure import Standing
from headwater.remedies import seeds
from headwater.remedies.bench import Run
from headwater.remedies.proof import set_the_rate
from headwater.remedies.runner import Runner
from headwater.remedies.trial import Trial
from headwater.remedies.tuning import mean_metric

SHORTEST = 10  # steps: fewer say nothing of a learning rate
_ROUNDS = (4, 2, 1)  # a round's runs are 1/4, 1/2 and all of the steps
_SEEDS = (1, 1, 2)  # of each round
# Whoever is not among the first three at half of the steps hardly wins at all of them, and full runs over two seeds are
# what a search costs most. Regularisers show late: all of their better half goes on.
_FINALISTS = 3
_LAST = 5  # steps whose mean loss breaks ties: networks that are all at chance may still be on their way

Tell = Callable[[Message], None]
Progress = Callable[[str, int, int], None]


@dataclass
class _Contender:
    """A candidate at a learning rate."""

    remedies: Remedies
    rate: float
    steps: int = 0
    metric: float = math.nan
    loss: float = math.inf
    failure: str = ""

    def rank(self) -> tuple[float, float, float]:
        """Greater is better."""
        metric = -math.inf if math.isnan(self.metric) else self.metric
        return metric, -self.loss if math.isfinite(self.loss) else -math.inf, -abs(math.log(self.rate))

    def rank_at_the_end(self) -> tuple[float, ...]:
        """The same, and of those with one metric the fewer changes before the lower loss."""
        metric, *others = self.rank()
        return metric, -len(self.remedies), *others


@dataclass
class Halving:
    """A search, and what is known of it so far.

    Attributes:
        runner: Makes the runs.
        tried: The candidates.
        steps: Of the longest runs.
        rates: Factors on the learning rate.
        first_seed: Of the proof; the search's own seeds lie elsewhere.
        deadline: ``time.monotonic()`` after which nothing begins.
    """

    runner: Runner
    tried: Sequence[Remedies]
    steps: int
    rates: tuple[float, ...]
    first_seed: int
    deadline: float = math.inf
    known: dict[Remedies, list[_Contender]] = field(default_factory=dict)
    _alive: list[_Contender] = field(default_factory=list)

    def search(self, tell: Tell | None = None, progress: Progress | None = None) -> Remedies | None:
        """The candidate that did best, ``None`` if none did better than the original at its best rate.

        Where the time was up before any of them had its turn, the likeliest goes to the proof untried.
        """
        lengths = list(dict.fromkeys(max(self.steps // part, min(SHORTEST, self.steps)) for part in _ROUNDS))
        if regularises(self.tried):  # what keeps a network from learning by heart looks worse at first
            lengths = lengths[-2:]
        alive = [_Contender(remedies, rate) for remedies in ((), *self.tried) for rate in self._grid(remedies)]
        for contender in alive:
            self.known.setdefault(contender.remedies, []).append(contender)
        counter = _counter(progress, alive, lengths, self._most(True))
        self.runner.telling(counter)
        self._alive = alive
        for number, length in enumerate(lengths):
            last = number == len(lengths) - 1
            alive = self._round(alive, length, _SEEDS[number - len(lengths)], tell, first=number == 0)
            if last or not any(contender.remedies for contender in alive) or time.monotonic() > self.deadline:
                break
            self._alive = alive = self._better_half(alive, self._most(number + 2 == len(lengths)))
        self._alive = []
        return self._winner(alive) if self._tried_any() else self._likeliest()

    def _most(self, finals_are_next: bool) -> int | None:
        return _FINALISTS if finals_are_next and not regularises(self.tried) else None

    def rates_left(self, winner: Remedies) -> tuple[float, ...]:
        """The rates at which the winner or the original has run at full length: the others have lost on both sides.

        All of them where the search had no time to come so far.
        """
        sides = [c for remedies in (winner, ()) for c in self.known.get(remedies, []) if c.steps >= self.steps]
        there = {c.remedies for c in sides} == {winner, ()}
        return tuple(rate for rate in self.rates if not there or any(c.rate == rate for c in sides))

    def _tried_any(self) -> bool:
        return any(contender.steps for remedies, own in self.known.items() if remedies for contender in own)

    def _likeliest(self) -> Remedies | None:
        """The first candidate that can be made of this model."""
        for remedies in self.tried:
            try:
                self.runner.bench.edits(self.first_seed, remedies)
            except InputError:
                continue
            return remedies
        return None

    def standings(self, winner: Remedies | None) -> tuple[Candidate, ...]:
        """Each candidate at its best rate; those that trained longest first, then by metric."""
        best = [max(contenders, key=lambda c: (c.steps, c.rank())) for contenders in self.known.values()]
        best.sort(key=lambda c: (c.remedies == winner and winner is not None, c.steps, c.rank()), reverse=True)
        return tuple(self._candidate(contender, winner) for contender in best)

    def _candidate(self, contender: _Contender, winner: Remedies | None) -> Candidate:
        standing = self._standing_of(contender, winner)
        return Candidate(
            contender.remedies, standing, contender.rate, contender.steps, contender.metric, contender.failure
        )

    def _standing_of(self, contender: _Contender, winner: Remedies | None) -> Standing:
        if not contender.remedies:
            return "original"
        if contender.remedies == winner:
            return "winner"
        if not contender.steps:
            return "not_tried"
        if all(c.failure for c in self.known[contender.remedies]):
            return "failed"
        going_on = any(c.remedies == contender.remedies and not c.failure for c in self._alive)
        return "in_the_race" if going_on else "dropped"

    def _grid(self, remedies: Remedies) -> tuple[float, ...]:
        """One rate for what sets the rate itself, and for regularisers, whose strength is what is searched."""
        return (1.0,) if set_the_rate(remedies) or regularises([remedies]) else self.rates

    def _round(
        self, alive: list[_Contender], length: int, repeats: int, tell: Tell | None, first: bool
    ) -> list[_Contender]:
        """Train everybody who is left, candidate by candidate; those that break off are out."""
        own = [self.first_seed + seeds.SELECTION + index for index in range(repeats)]
        ran: list[_Contender] = []
        for group in _grouped(alive, together=not first):
            if first and ran and time.monotonic() > self.deadline:
                break
            runs = [
                Run("treated", seed, c.remedies, length, c.rate, purpose="choose", forgiving=bool(c.remedies))
                for c in group
                for seed in own
            ]
            trials = iter(self.runner.run(runs))
            for contender in group:
                _take(contender, length, [next(trials) for _ in own])
            ran += group
            if tell is not None:
                tell(self._standing(ran, length))
        return [c for c in ran if not c.failure or not c.remedies]

    def _standing(self, ran: list[_Contender], length: int) -> Message:
        """Who leads."""
        leader = max(ran, key=_Contender.rank)
        own = max((c for c in ran if not c.remedies), key=_Contender.rank)
        return Message(
            "cure.standing",
            {
                "steps": length,
                "left": len({c.remedies for c in ran if c.remedies and not c.failure}),
                "remedies": " + ".join(leader.remedies) or "-",
                "metric": leader.metric,
                "original": own.metric,
            },
        )

    @staticmethod
    def _better_half(alive: list[_Contender], most: int | None = None) -> list[_Contender]:
        """The better half of the candidates' contenders, at most so many; of the original its best rate and its own."""
        own = [c for c in alive if not c.remedies]
        others = sorted((c for c in alive if c.remedies), key=_Contender.rank, reverse=True)
        kept = [c for c in own if c is max(own, key=_Contender.rank) or c.rate == 1.0]
        return kept + others[: min(math.ceil(len(others) / 2), most or len(others))]

    @staticmethod
    def _winner(alive: list[_Contender]) -> Remedies | None:
        """Whoever beats the original, which for a remedy of the learning rate is the one at its own rate.

        Of candidates that do equally well the one that changes least.
        """
        own = [c for c in alive if not c.remedies]
        for best in sorted((c for c in alive if c.remedies), key=_Contender.rank_at_the_end, reverse=True):
            beside = [c for c in own if c.rate == 1.0] if set_the_rate(best.remedies) else own
            if all(not best.metric <= c.metric for c in beside):
                return best.remedies
        return None


def _grouped(alive: list[_Contender], together: bool) -> list[list[_Contender]]:
    """All at once, which keeps every process busy; or candidate by candidate, so that time may run out in between."""
    if together:
        return [alive]
    groups: dict[Remedies, list[_Contender]] = {}
    for contender in alive:
        groups.setdefault(contender.remedies, []).append(contender)
    return list(groups.values())


def _take(contender: _Contender, length: int, trials: list[Trial]) -> None:
    contender.steps, contender.metric = length, mean_metric(trials)
    contender.failure = next((trial.failure for trial in trials if trial.failure), "")
    ends = [loss for trial in trials for loss in trial.losses[-_LAST:]]
    contender.loss = statistics.fmean(ends) if ends else math.inf


def _counter(
    progress: Progress | None, alive: list[_Contender], lengths: list[int], finalists: int | None
) -> Callable[[int], None]:
    """Counts steps against the most there may be."""
    left, total = len(alive), 0
    for number, length in enumerate(lengths):
        total += left * length * _SEEDS[number - len(lengths)]
        left = math.ceil(left / 2) + 1
        if finalists is not None and number + 2 == len(lengths):
            left = min(left, finalists + 2)
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None and steps:
            progress("progress.select", min(done, total), total)

    return advance
