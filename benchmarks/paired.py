"""What an arm costs on top of the bare loop, both in the same process, in turn.

Two processes that train the same network differ by 10 % and more for as long as they live, by where their memory
happens to lie. So an arm is held against the bare loop of its own process, where it is attached and taken off again
and again:

    bare, watched, bare, watched, ..., bare

A round's ratio is the watched block's median step over that of its two bare neighbours; drift cancels. The figure is
the median ratio of all rounds. What costs on some steps only (``every="auto"``) stays attached for one long stretch,
between two bare ones, and is judged by total time.
"""

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.models import Case
from benchmarks.peers import Arm
from benchmarks.session import Session, Steps
from benchmarks.worker import CrashError, Worker

SLOW = 3.0  # times the bare step: such a figure needs few rounds, and would take most of the time
SLOW_ROUNDS = 3
LONG_S = 40.0  # of watched steps, after which a slow arm has had enough in two rounds
NEAR = 10  # steps on either side that a sampled one is held against
LEADING, LEADING_S = 2, 4.0  # steps after a change that do not count (caches are cold), fewer if they take so long


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        rounds: Watched blocks.
        block_s: Seconds that a block should take, watched or not.
        most_steps: Upper limit of a block.
        stretch_s: Seconds that the long stretch should take.
        stretch_steps: Lower and upper limit of the long stretch.
    """

    rounds: int
    block_s: float
    most_steps: int
    stretch_s: float
    stretch_steps: tuple[int, int]

    def block(self, step_s: float) -> int:
        """Steps of a block, at least one."""
        return max(1, min(self.most_steps, round(self.block_s / step_s)))

    def stretch(self, step_s: float) -> int:
        """Steps of the long stretch."""
        fewest, most = self.stretch_steps
        return max(fewest, min(most, round(self.stretch_s / step_s)))


def every_step(worker: Worker, case: Case, arm: Arm, plan: Plan) -> dict[str, Any]:
    """An arm's cost where all steps are alike; a crash is a result like any other."""
    return _reported(arm, worker, measure_every_step, case, arm, plan)


def in_total(worker: Worker, case: Case, arm: Arm, plan: Plan) -> dict[str, Any]:
    """An arm's cost where some steps cost more than others; a crash is a result like any other."""
    return _reported(arm, worker, measure_in_total, case, arm, plan)


def measure_every_step(case: Case, arm: Arm, plan: Plan) -> dict[str, Any]:
    """A job: bare and watched blocks in turn.

    Returns:
        ``overhead_pct`` (median of the rounds), its ``quartiles_pct``, ``mean_pct`` (total time), the extra
        milliseconds and both steps, what attaching and the first step took, and the rounds' ratios themselves.
    """
    session = Session(case)
    session.run(LEADING)
    bare, watched = [_block(session, plan)], list[Steps]()
    facts: dict[str, Any] = {}
    while len(watched) < plan.rounds and not _enough(bare, watched):
        attach_s = session.attach(arm)
        first = session.run(1).seconds
        facts = facts or {"attach_ms": 1e3 * attach_s, "first_step_ms": 1e3 * first[0]}
        watched.append(_block(session, plan, first))
        facts["events"] = session.events
        session.detach()
        bare.append(_block(session, plan))
    neighbours = [(_median(a) + _median(b)) / 2 for a, b in pairwise(bare)]
    steps = [_median(block) for block in watched]
    ratios = [step / base for step, base in zip(steps, neighbours, strict=True)]
    return {
        "overhead_pct": _pct(statistics.median(ratios)),
        "quartiles_pct": [_pct(ratio) for ratio in _quartiles(ratios)],
        "mean_pct": _pct(_mean(watched) / _mean(bare)),
        "extra_ms": 1e3 * statistics.median(s - b for s, b in zip(steps, neighbours, strict=True)),
        "bare_ms": 1e3 * statistics.median(neighbours),
        "watched_ms": 1e3 * statistics.median(steps),
        "rounds": len(watched),
        "steps": sum(len(block.seconds) for block in watched),
        "sampled": _sampled(watched),
        "parameters": session.parameters,
        "ratios": ratios,
        **facts,
    }


def measure_in_total(case: Case, arm: Arm, plan: Plan) -> dict[str, Any]:
    """A job: a bare stretch, a long watched one, a bare one.

    Returns:
        ``from_start_pct``: total time, attaching and the first steps included, with all that is loaded and compiled in
        them. ``total_pct``: without the first tenth of the stretch. ``neighbours_pct``: there, what the sampled steps
        take more than the median step around them, spread over all steps; drift does not move it, but nor would it show
        if other steps became slower. ``own_pct``: what headwater says itself.
    """
    session = Session(case)
    session.run(LEADING)
    count = plan.stretch(_median(session.run(LEADING)))
    before = session.run(max(LEADING, count // 3))
    attach_s = session.attach(arm)
    watched = session.run(count)
    own, events = session.own_overhead, session.events
    session.detach()
    session.run(LEADING)
    bare = before.seconds + session.run(max(LEADING, count // 3)).seconds
    started = count // 10
    usual = Steps(watched.seconds[started:], watched.sampled and watched.sampled[started:])
    return {
        "from_start_pct": _pct((attach_s + sum(watched.seconds)) / count / statistics.fmean(bare)),
        "total_pct": _pct(statistics.fmean(usual.seconds) / statistics.fmean(bare)),
        "neighbours_pct": _over_neighbours_pct(usual),
        "own_pct": None if own is None else 100 * own,
        "bare_ms": 1e3 * statistics.median(bare),
        "steps": count,
        "sampled": _sampled([watched]),
        "events": events,
    }


def _reported(arm: Arm, worker: Worker, job: Any, *args: Any) -> dict[str, Any]:
    named = {"label": arm.label, "measures": arm.measures, "crash": None}
    try:
        return named | worker.call(job, *args)
    except CrashError as error:
        return named | {"crash": str(error)}


def _block(session: Session, plan: Plan, leading: list[float] | None = None) -> Steps:
    """As many steps as fit, after the leading ones, which also tell how many that is."""
    leading = leading or session.run(1).seconds
    while len(leading) < LEADING and sum(leading) < LEADING_S:
        leading += session.run(1).seconds
    return session.run(plan.block(min(leading)))


def _enough(bare: list[Steps], watched: list[Steps]) -> bool:
    """Whether an arm is so slow that more rounds would tell nothing new."""
    if not watched or _median(watched[-1]) <= SLOW * _median(bare[-1]):
        return False
    long = sum(sum(block.seconds) for block in watched) > LONG_S
    return len(watched) >= (2 if long else SLOW_ROUNDS)


def _over_neighbours_pct(steps: Steps) -> float | None:
    """Percent that sampled steps add, each against the median of the unsampled steps near it; ``None`` without both."""
    if not steps.sampled or all(steps.sampled):
        return None
    extra_s = around_s = 0.0
    for number, flag in enumerate(steps.sampled):
        near = slice(max(0, number - NEAR), number + NEAR + 1)
        quiet = [s for s, sampled in zip(steps.seconds[near], steps.sampled[near], strict=True) if not sampled]
        usual_s = statistics.median(quiet or steps.seconds[near])
        around_s += usual_s
        extra_s += (steps.seconds[number] - usual_s) * flag
    return 100 * extra_s / around_s


def _sampled(blocks: list[Steps]) -> int | None:
    """How many of the steps headwater measured; ``None`` for other arms."""
    flags = [block.sampled for block in blocks if block.sampled is not None]
    return sum(map(sum, flags)) if flags else None


def _median(block: Steps) -> float:
    return statistics.median(block.seconds)


def _mean(blocks: list[Steps]) -> float:
    return statistics.fmean(second for block in blocks for second in block.seconds)


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _pct(ratio: float) -> float:
    return 100 * (ratio - 1)
