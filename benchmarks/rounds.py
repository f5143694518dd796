"""Arms in turn, round after round: what each costs on top of the bare loop, and how well this machine can tell.

A round gives every arm one block of steps, in an order that is reversed from round to round. An arm's ratio in a round
is its median step over the bare loop's in that same round; the figure is the median ratio over the rounds. Where only
some steps cost (``every="auto"``), a block counts by its total time instead.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.models import Case
from benchmarks.peers import Arm
from benchmarks.session import Opening, Session, Steps
from benchmarks.worker import CrashError, State, Worker

BARE = "bare"
SLOW = 3.0  # times the bare step: such a figure needs few rounds, and would take most of the time
SLOW_ROUNDS = 4
LONG_S = 40.0  # seconds of an arm's blocks after which it is out, after two rounds at least

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Args:
        rounds: Blocks of each arm.
        block_s: Seconds that a block should take, in the pace that the arm itself has.
        most_steps: Upper limit of a block.
        fewest_steps: Lower limit of a block.
    """

    rounds: int
    block_s: float
    most_steps: int
    fewest_steps: int = 1

    def steps(self, step_s: float) -> int:
        """Steps of a block, for an arm of this pace."""
        return max(self.fewest_steps, min(self.most_steps, round(self.block_s / step_s)))


@dataclass
class Track:
    """What one arm did: its blocks, one per round it took part in, and how it ended."""

    arm: Arm
    opening: Opening | None = None
    blocks: list[Steps] = field(default_factory=list)
    crash: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def race(
    workers: Mapping[str, Worker],
    case: Case,
    arms: Mapping[str, Arm],
    plan: Plan,
    progress: Progress,
    same_steps: bool = False,
) -> dict[str, Track]:
    """Train ``case`` under all arms, round by round.

    Args:
        workers: A process for each arm.
        case: What to train.
        arms: Who takes part; one of them is "bare".
        plan: For how long.
        progress: Told of each opening and each round.
        same_steps: Give every arm's block as many steps as the bare loop's, where totals are compared.
    """
    tracks = {key: Track(arm) for key, arm in arms.items()}
    for key, track in tracks.items():
        _guarded(track, lambda key=key, track=track: _opened(workers[key], case, track))
        progress(f"{track.arm.label}: {track.crash or f'{_ms(track.opening.step_s)} a step'}")
    if tracks[BARE].crash:
        raise CrashError(f"the bare loop itself fails on {case.label}: {tracks[BARE].crash}")
    sizes = _sizes(tracks, plan, same_steps)
    for number in range(plan.rounds):
        for key in _order(_still_in(tracks, number), number):
            track = tracks[key]
            _guarded(track, lambda key=key, track=track: track.blocks.append(workers[key].call(run_steps, sizes[key])))
            workers[key].settle()
        progress(f"round {number + 1} of {plan.rounds}")
    for key, track in tracks.items():
        _guarded(track, lambda key=key, track=track: track.facts.update(workers[key].call(close_session)))
    return tracks


def every_step(tracks: Mapping[str, Track]) -> dict[str, dict[str, Any]]:
    """Each arm's cost where all steps are alike: medians of blocks, ratios round by round."""
    return {key: _outcome(track, tracks[BARE], statistics.median) for key, track in tracks.items()}


def in_total(tracks: Mapping[str, Track]) -> dict[str, dict[str, Any]]:
    """Each arm's cost where some steps cost more: total time of all blocks over the bare loop's.

    Beside it ``by_medians_pct``: sampled and other steps each by their median, weighted by their number. A few steps
    that something else on the machine held up do not move it. And ``from_start_pct``, where attaching and the first
    steps count too, with all that is loaded and compiled in them.
    """
    bare_steps = _joined(tracks[BARE].blocks)
    outcomes = {key: _outcome(track, tracks[BARE], statistics.fmean) for key, track in tracks.items()}
    for key, track in tracks.items():
        if outcomes[key]["crash"]:
            continue
        outcomes[key] |= {
            "total_pct": outcomes[key]["mean_pct"],
            "by_medians_pct": _pct(_typical_step(track) / statistics.median(bare_steps)),
            "from_start_pct": _pct(_from_start_s(track) / _from_start_s(tracks[BARE])),
        }
    return outcomes


def open_session(state: State, case: Case, arm: Arm) -> tuple[Opening, dict[str, Any]]:
    """A job: begin a training; what it took, and what there is to know about it."""
    if "session" in state:
        state.pop("session").close()
    session = state["session"] = Session(case, arm)
    return session.opening, {"parameters": session.parameters}


def run_steps(state: State, count: int) -> Steps:
    """A job: go on with the training."""
    return state["session"].run(count)


def close_session(state: State) -> dict[str, Any]:
    """A job: end the training; what the arm says about itself."""
    session = state.pop("session")
    facts = {"own_overhead": session.own_overhead, "events": session.events}
    session.close()
    return facts


def _opened(worker: Worker, case: Case, track: Track) -> None:
    track.opening, facts = worker.call(open_session, case, track.arm)
    track.facts.update(facts)


def _guarded(track: Track, action: Callable[[], None]) -> None:
    """An arm that has crashed stays out; the others go on."""
    if track.crash:
        return
    try:
        action()
    except CrashError as error:
        track.crash = str(error)


def _sizes(tracks: Mapping[str, Track], plan: Plan, same_steps: bool) -> dict[str, int]:
    openings = {key: track.opening for key, track in tracks.items() if track.opening}
    return {key: plan.steps(openings[BARE if same_steps else key].step_s) for key in openings}


def _still_in(tracks: Mapping[str, Track], number: int) -> list[str]:
    slow_s = SLOW * tracks[BARE].opening.step_s
    return [key for key, track in tracks.items() if not track.crash and (number < _rounds_of(track, slow_s))]


def _rounds_of(track: Track, slow_s: float) -> float:
    """In how many rounds an arm takes part, as far as can be said now: a slow one in fewer."""
    if track.opening.step_s <= slow_s:
        return math.inf
    return 2 if sum(_joined(track.blocks)) > LONG_S else SLOW_ROUNDS


def _order(keys: list[str], number: int) -> Iterable[str]:
    return reversed(keys) if number % 2 else keys


def _outcome(track: Track, bare: Track, middle: Callable[[list[float]], float]) -> dict[str, Any]:
    outcome: dict[str, Any] = {"label": track.arm.label, "measures": track.arm.measures, "crash": track.crash}
    if track.crash:
        return outcome
    blocks = [middle(block.seconds) for block in track.blocks]
    beside = bare.blocks[: len(blocks)]  # a slow arm is out after a few rounds
    bases = [middle(block.seconds) for block in beside]
    ratios = [block / base for block, base in zip(blocks, bases, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    extra = statistics.median(block - base for block, base in zip(blocks, bases, strict=True))
    mean = statistics.fmean(_joined(track.blocks)) / statistics.fmean(_joined(beside))
    return outcome | {
        "overhead_pct": _pct(statistics.median(ratios)),
        "quartiles_pct": [_pct(low), _pct(high)],
        "mean_pct": _pct(mean),
        "extra_ms": round(1e3 * extra, 4),
        "step_ms": round(1e3 * statistics.median(blocks), 4),
        "attach_ms": round(1e3 * track.opening.attach_s, 1),
        "first_step_ms": round(1e3 * track.opening.steps_s[0], 1),
        "rounds": len(blocks),
        "steps": len(_joined(track.blocks)),
        "sampled": _sampled(track),
        "ratios": [round(ratio, 4) for ratio in ratios],
        **track.facts,
    }


def _typical_step(track: Track) -> float:
    """The mean step with each kind of step, sampled or not, by its median."""
    flags = [flag for block in track.blocks for flag in block.sampled or [False] * len(block.seconds)]
    seconds = _joined(track.blocks)
    kinds = [[s for s, flag in zip(seconds, flags, strict=True) if flag is kind] for kind in (True, False)]
    return sum(len(kind) * statistics.median(kind) for kind in kinds if kind) / len(seconds)


def _from_start_s(track: Track) -> float:
    """Seconds per step from attaching to the last step."""
    steps_s = track.opening.steps_s + _joined(track.blocks)
    return (track.opening.attach_s + sum(steps_s)) / len(steps_s)


def _sampled(track: Track) -> int | None:
    """How many of the steps headwater measured; ``None`` for other arms."""
    flags = [block.sampled for block in track.blocks if block.sampled is not None]
    return sum(map(sum, flags)) if flags else None


def _joined(blocks: Iterable[Steps]) -> list[float]:
    return [second for block in blocks for second in block.seconds]


def _pct(ratio: float) -> float:
    return round(100 * (ratio - 1), 2)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"
