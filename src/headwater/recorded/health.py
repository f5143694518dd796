"""How the ranks of a training are: which go on, which were lost or never came, which the others wait for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headwater.records import Message
from headwater.records.message import Value
from headwater.records.ranks import RankState, RankStateName
from headwater.store.together import place_of_start

if TYPE_CHECKING:
    from headwater.recorded.run import Run

# A heartbeat comes once a second and names the step: what a rank does in three is no lag.
_BEATS_S = 3.0
_LEAST_STEPS = 2
# The others' share of time that goes to waiting, how much longer the slow one takes, and at which share of steps it is
# the slowest, before it is worth a sentence: on a busy machine equal ranks of small steps are slow in turns.
_WAITING = 0.2
_LONGER = 1.5
_MOSTLY = 0.9
_STEPS = 32
_FEW = 8


def health_of(members: Mapping[int, Run]) -> list[RankState]:
    """How each rank is, by number.

    Args:
        members: The ranks' own runs.
    """
    known = {rank: _known(rank, run) for rank, run in members.items()}
    foremost = max((state.last_step for state in known.values() if state.last_step is not None), default=None)
    found = {rank: _compared(state, foremost, members[rank]) for rank, state in known.items()}
    for rank in range(expected(members)):
        if rank not in found:
            found[rank] = RankState(rank, "missing", message=Message("event.rank_missing", {"rank": rank}))
    slow = slowest(members)
    if slow is not None and found[slow[0]].name in ("running", "ended"):
        rank, own, others, waits = slow
        message = Message("event.rank_slow", {"rank": rank, "own_s": own, "others_s": others, "wait_s": waits})
        found[rank] = replace(found[rank], name="slow", message=message)
    return [found[rank] for rank in sorted(found)]


def expected(members: Mapping[int, Run]) -> int:
    """How many ranks there should be, by what the last start of any of them wrote."""
    last = max((start.number for run in members.values() for start in run.starts), default=0)
    sizes = [place_of_start(s).world_size for run in members.values() for s in run.starts if s.number == last]
    return max(sizes, default=len(members))


def slowest(members: Mapping[int, Run]) -> tuple[int, float, float, float] | None:
    """The rank that the others wait for, its own time per step, that of the others, and how long they wait."""
    own = {rank: _recent(run, "own_s") for rank, run in members.items()}
    waits = {rank: _recent(run, "wait_s") for rank, run in members.items()}
    known = [rank for rank in members if len(own[rank]) >= _FEW and len(waits[rank]) >= _FEW]
    if len(known) < len(members) or len(known) < 2:
        return None
    times = {rank: statistics.median(own[rank]) for rank in known}
    slow = max(known, key=lambda rank: times[rank])
    others = [rank for rank in known if rank != slow]
    usual = statistics.median(times[rank] for rank in others)
    waiting = statistics.median(statistics.median(waits[rank]) for rank in others)
    count = min(len(own[rank]) for rank in known)
    at_step = [max(known, key=lambda rank: own[rank][-index]) for index in range(1, count + 1)]
    is_mostly = at_step.count(slow) >= _MOSTLY * count
    is_slow = is_mostly and times[slow] > _LONGER * usual and waiting > _WAITING * (usual + waiting)
    return (slow, times[slow], usual, waiting) if is_slow else None


def _recent(run: Run, name: str) -> list[float]:
    values = run.course()[name].values[-_STEPS:]
    return [float(value) for value in values if not np.isnan(value)]


def _known(rank: int, run: Run) -> RankState:
    state = run.state
    names: dict[str, RankStateName] = {"running": "running", "ended": "ended", "broken": "lost"}
    return RankState(rank, names[state.name], last_step(run), 0, state.heartbeat)


def last_step(run: Run) -> int | None:
    """The last step a rank was heard at: its heartbeat counts all, what it has recorded only those it measured."""
    if not run.starts:
        return None
    start = run.starts[-1]
    told = start.heartbeat.get("step")
    steps = [int(told)] if isinstance(told, int) else []
    for piece in reversed(start.pieces):
        clock = start.clock(piece)
        if len(clock):
            steps.append(int(clock.step[-1]))
            break
    return max(steps, default=None)


def _compared(state: RankState, foremost: int | None, run: Run) -> RankState:
    behind = 0 if state.last_step is None or foremost is None else foremost - state.last_step
    state = replace(state, behind=behind)
    values: dict[str, Value] = {"rank": state.rank, "step": state.last_step, "behind": behind}
    if state.name == "lost":
        seconds = round(time.time() - state.heartbeat) if state.heartbeat is not None else None
        if state.last_step is None:
            return replace(state, message=Message("event.rank_lost_early", {"rank": state.rank}))
        return replace(state, message=Message("event.rank_lost", {**values, "seconds": seconds}))
    if state.name == "running" and behind > max(_LEAST_STEPS, _BEATS_S * _rate(run)):
        return replace(state, name="behind", message=Message("event.rank_behind", values))
    return state


def _rate(run: Run) -> float:
    """Steps per second of a rank's last recorded steps."""
    curve = run.course()["update_ratio"]
    if len(curve.steps) < 2:
        return 0.0
    steps, times = curve.steps[-_STEPS:], curve.times[-_STEPS:]
    seconds = float(times[-1] - times[0])
    return float(steps[-1] - steps[0]) / seconds if seconds > 0 else 0.0


def differing_models(members: Mapping[int, Run]) -> tuple[int, int, str] | None:
    """Two ranks whose models differ, and the first site or parameter that does; ``None`` if none do.

    Stages of a pipeline have nothing in common, and that is no difference.
    """
    looks = {rank: _looks(run) for rank, run in members.items() if run.site_names}
    ranks = list(looks)
    for place, rank in enumerate(ranks):
        for earlier in ranks[:place]:
            name = _first_difference(looks[earlier], looks[rank])
            if name is not None:
                return earlier, rank, name
    return None


def _looks(run: Run) -> dict[str, object]:
    """What each site and parameter is, whatever the size of the batch and of a piece."""
    sites: dict[str, object] = {site.name: (site.op, site.parameters) for site in run.sites}
    shapes = {row["name"]: tuple(row.get("shape", ())) for row in run._rows("parameters")}
    return sites | shapes


def _first_difference(a: Mapping[str, object], b: Mapping[str, object]) -> str | None:
    if not a.keys() & b.keys():
        return None
    return next((name for name in _in_order(list(a), list(b)) if a.get(name) != b.get(name)), None)


def _in_order(a: Sequence[str], b: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))
