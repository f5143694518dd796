"""Repair the faulty programs that a remedy can reach, and judge every repair on seeds that it has not seen.

    python -m benchmarks.repairs [--quick] [--all] [--families mlp,cnn] [--budget 60] [--again] [--out docs/benchmarks]
    python -m benchmarks.repairs --sample 200 [--arms headwater] [--out docs/benchmarks]

By default one program for each family and planted cause; ``--all`` takes every program, ``--sample`` the first so many
of these in a fixed random order over all families. Three arms repair the same programs: headwater (``hw.fix``), the
recipe ReLU + He + batch normalisation + Adam, and a remedy drawn at random. What stands in the results already is not
run again, unless ``--again`` asks for it: so the benchmark can be run family by family, and goes on where it was
stopped. With ``--out docs/benchmarks`` the page docs/repairs.md is made anew.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
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
from benchmarks.repairs.choice import choose, drawn
from benchmarks.repairs.reachable import reachable
from benchmarks.worker import CrashError

NAME = "repairs"
BUDGET_S = 60.0
QUICK = 6  # programs
TWIN_SEEDS = 3


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    given = _given(arguments)
    started = time.monotonic()
    every = drawn()
    families = tuple(given.families or FAMILIES)
    chosen = every[: given.sample] if given.sample else choose(families, given.all, given.only)
    if given.quick:
        chosen = chosen[:: max(1, len(chosen) // QUICK)][:QUICK]
    arms = tuple(given.arms or ARMS)
    before = {} if given.quick else load(given.out, NAME)
    known = {(one.program, one.arm): one for one in page.repairs_of(before)} if before else {}
    wanted = [(program, arm) for program in chosen for arm in arms]
    if not given.again:
        wanted = [(program, arm) for program, arm in wanted if (program.id, arm) not in known]
    facts = {
        "machine": machine.describe(1),
        "quick": given.quick,
        "reachable": sum(map(reachable, choose(tuple(FAMILIES), every=True))),
        "default": len(every),
    }

    def result() -> dict[str, Any]:
        minutes = before.get("minutes", 0.0) + (time.monotonic() - started) / 60
        return {**facts, "minutes": minutes, "repairs": [one.to_dict() for one in in_order(known)]}

    for made in repaired(wanted, given.budget, given.processes, str(facts["machine"]["commit"])):
        known[made.program, made.arm] = made
        _keep(given.out, result())
    done = result()
    save(given.out, NAME, done)
    print("\n\n".join([page.tables(done), page.sample(done)]))
    if given.out and given.out.resolve() == RESULTS and not given.quick:
        page.write(done)


def _given(arguments: list[str] | None) -> argparse.Namespace:
    options = _options()
    given = options.parse_args(arguments)
    if given.sample is not None and (given.all or given.families or given.only):
        options.error("--sample draws from all families: leave out --all, --families and --only")
    if given.sample is not None and given.sample < 1:
        options.error(f"--sample takes how many programs to draw, at least 1, not {given.sample}")
    return given


def _options() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--all", action="store_true", help="every program that a remedy can reach")
    options.add_argument("--families", type=lambda text: one_of(dict.fromkeys(FAMILIES), text), help="some only")
    options.add_argument("--sample", type=int, help="the first so many programs of a fixed random order over all")
    options.add_argument("--arms", type=lambda text: one_of(ARMS, text), help="some only: headwater,recipe,random")
    options.add_argument("--only", help="programs whose id starts so, as mlp/relu")
    options.add_argument("--budget", type=float, default=BUDGET_S, help=f"seconds a search may take ({BUDGET_S:g})")
    options.add_argument("--processes", type=int, default=PROCESSES, help="at work side by side")
    options.add_argument("--again", action="store_true", help="also what stands in the results already")
    return options


def in_order(known: dict[tuple[str, str], Repair]) -> list[Repair]:
    """As the programs stand in the benchmark of diagnoses, arm by arm; what is no program any more is left out."""
    places = {id_: place for place, id_ in enumerate(programs(tuple(FAMILIES)))}
    arms = list(ARMS)
    found = [one for one in known.values() if one.program in places]
    return sorted(found, key=lambda one: (places[one.program], arms.index(one.arm)))


def repaired(wanted: list[tuple[Program, str]], budget_s: float, processes: int, commit: str = "") -> Iterator[Repair]:
    """What arms made of programs, as it comes.

    Raises:
        RuntimeError: If a program takes its process down.
    """
    if not wanted:
        return
    twins = _twins(list(dict.fromkeys(program.twin for program, _ in wanted)), processes)
    jobs = [(p.id, arm, twins[str(p.twin)], budget_s, commit) for p, arm in wanted]
    say(f"{len(jobs)} repairs to make")
    for job, made in spread(repair, jobs, processes):
        if isinstance(made, CrashError):
            raise RuntimeError(f"{job[0]}, {job[1]}: {made}")
        say(f"{made.arm:9s} {made.program}: {told(made)}")
        yield made


def _keep(out: Path | None, result: dict[str, Any]) -> None:
    """What is known so far, in one move: a run that is killed leaves the results of before or of now."""
    if out is None:
        return
    place = out / ".unfinished"
    save(place, NAME, result, quiet=True)
    os.replace(place / f"{NAME}.json", out / f"{NAME}.json")
    place.rmdir()


def _twins(names: list[str | None], processes: int) -> dict[str, float]:
    """What the healthy twins learn: as verified, or trained now where that is not known."""
    verified: dict[str, Any] = load(RESULTS, VERIFIED).get("programs", {})
    known = {str(name): float(verified[name]["mean"]) for name in names if name in verified}
    jobs = [(str(name), seed) for name in names if name not in known for seed in range(TWIN_SEEDS)]
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
