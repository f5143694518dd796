"""Repair the faulty programs that a remedy can reach, and judge every repair on seeds that it has not seen.

    python -m benchmarks.repairs [--quick] [--all] [--families mlp,cnn] [--budget 20] [--out docs/benchmarks]

By default one program for each family and planted cause; ``--all`` takes every program. Three arms repair the same
programs: headwater (``hw.fix``), the recipe ReLU + He + batch normalisation + Adam, and a remedy drawn at random. With
``--out docs/benchmarks`` the page docs/repairs.md is made anew.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import machine
from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.judging import train
from benchmarks.faults.pool import PROCESSES, spread
from benchmarks.faults.program import Program
from benchmarks.faults.verify import NAME as VERIFIED
from benchmarks.options import RESULTS, load, one_of, parser, save, say
from benchmarks.repairs import page
from benchmarks.repairs.arms import ARMS, Repair, repair
from benchmarks.repairs.reachable import reachable
from benchmarks.worker import CrashError

NAME = "repairs"
BUDGET_S = 20.0
QUICK = 6  # programs
TWIN_SEEDS = 3


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    given = _options().parse_args(arguments)
    started = time.monotonic()
    chosen = choose(tuple(given.families or FAMILIES), given.all, given.only)
    if given.quick:
        chosen = chosen[:: max(1, len(chosen) // QUICK)][:QUICK]
    arms = tuple(given.arms or ARMS)
    repairs = repaired(chosen, arms, given.budget, given.processes)
    result = {
        "machine": machine.describe(1),
        "quick": given.quick,
        "budget_s": given.budget,
        "minutes": (time.monotonic() - started) / 60,
        "families": list(given.families or FAMILIES),
        "programs": len(chosen),
        "reachable": len(choose(tuple(given.families or FAMILIES), True, given.only)),
        "repairs": [one.to_dict() for one in repairs],
    }
    save(given.out, NAME, result)
    print(page.tables(result))
    if given.out and given.out.resolve() == RESULTS and not (given.quick or given.arms or given.only):
        page.write(result)


def _options() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--all", action="store_true", help="every program that a remedy can reach")
    options.add_argument("--families", type=lambda text: one_of(dict.fromkeys(FAMILIES), text), help="some only")
    options.add_argument("--arms", type=lambda text: one_of(ARMS, text), help="some only: headwater,recipe,random")
    options.add_argument("--only", help="programs whose id starts so, as mlp/relu")
    options.add_argument("--budget", type=float, default=BUDGET_S, help=f"seconds a search may take ({BUDGET_S:g})")
    options.add_argument("--processes", type=int, default=PROCESSES, help="at work side by side")
    return options


def choose(families: tuple[str, ...], every: bool, only: str | None = None) -> list[Program]:
    """The programs that a remedy can reach: all, or the first of each family and planted cause."""
    wanted = [p for p in programs(families).values() if p.fault and reachable(p)]
    wanted = [p for p in wanted if only is None or p.id.startswith(only)]
    if every:
        return wanted
    first = {(p.family, p.fault.causes[0]): p for p in reversed(wanted) if p.fault}
    return [p for p in wanted if p in first.values()]


def repaired(chosen: list[Program], arms: tuple[str, ...], budget_s: float, processes: int) -> list[Repair]:
    """What every arm made of every program, in their order.

    Raises:
        RuntimeError: If a program takes its process down.
    """
    twins = _twins(chosen, processes)
    jobs = [(p.id, arm, twins[str(p.twin)], budget_s) for p in chosen for arm in arms]
    say(f"{len(chosen)} programs, {len(arms)} arms")
    found: list[Repair] = []
    for job, made in spread(repair, jobs, processes):
        if isinstance(made, CrashError):
            raise RuntimeError(f"{job[0]}, {job[1]}: {made}")
        found.append(made)
        say(f"{made.arm:9s} {made.program}: {told(made)}")
    order = {(id_, arm): place for place, (id_, arm, *_) in enumerate(jobs)}
    return sorted(found, key=lambda one: order[one.program, one.arm])


def _twins(chosen: list[Program], processes: int) -> dict[str, float]:
    """What the healthy twins learn: as verified, or trained now where that is not known."""
    verified: dict[str, Any] = load(RESULTS, VERIFIED).get("programs", {})
    names = dict.fromkeys(str(p.twin) for p in chosen)
    known = {name: float(verified[name]["mean"]) for name in names if name in verified}
    jobs = [(name, seed) for name in names if name not in known for seed in range(TWIN_SEEDS)]
    metrics: dict[str, list[float]] = {name: [] for name, _ in jobs}
    for (name, _), metric in spread(train, jobs, processes) if jobs else ():
        if isinstance(metric, CrashError):
            raise RuntimeError(f"{name} cannot be trained: {metric}")
        metrics[name].append(metric)
    return known | {name: sum(values) / len(values) for name, values in metrics.items()}


def told(made: Repair) -> str:
    """In a line."""
    if not made.after:
        return f"{made.verdict} in {made.seconds:.0f} s {made.failure}".rstrip()
    return f"{made.verdict} {' + '.join(made.remedies)} in {made.seconds:.0f} s, {made.gain:+.1f} points {made.failure}"
