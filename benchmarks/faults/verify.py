"""Do the healthy programs learn, and do the faults harm? Trains every program over several seeds.

    python -m benchmarks.faults.verify [--families mlp,cnn] [--only mlp/relu] [--out docs/benchmarks]

A healthy program holds if it reaches its mark with every seed, and the mark is well above chance. A faulty one holds if
its mean metric is below that of its healthy twin by more than twice the spread of both together, and by at least a
twentieth of what the twin has learnt beyond chance. What does not hold is changed or dropped, never called fine.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks import machine
from benchmarks.faults import page
from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.judging import train
from benchmarks.faults.pool import PROCESSES, spread
from benchmarks.faults.program import Program
from benchmarks.options import RESULTS, load, one_of, parser, save, say
from benchmarks.worker import CrashError

NAME = "faults_verified"
SEEDS = 3
SPREADS = 2.0
LEAST_HARM = 0.05


def main(arguments: list[str] | None = None) -> None:
    """Train all, print what does not hold, write the results."""
    options = parser(__doc__)
    options.add_argument("--families", type=lambda text: one_of(dict.fromkeys(FAMILIES), text), default=list(FAMILIES))
    options.add_argument("--only", help="programs whose id starts so")
    options.add_argument("--seeds", type=int, default=SEEDS)
    options.add_argument("--processes", type=int, default=PROCESSES, help="at work side by side")
    given = options.parse_args(arguments)
    known = programs(tuple(given.families))
    wanted = {id_: p for id_, p in known.items() if given.only is None or id_.startswith(given.only)}
    wanted |= {p.twin: known[p.twin] for p in wanted.values() if p.twin}
    results = verified(wanted, 1 if given.quick else given.seeds, given.processes)
    for id_, result in results.items():
        say(f"{'holds' if result['holds'] else 'FAILS'}  {id_}: {told(result)}")
    found = load(given.out, NAME).get("programs", {}) | results  # of programs that were left out this time
    ordered = {id_: found[id_] for id_ in programs() if id_ in found}
    facts = {"machine": machine.describe(1), "seeds": given.seeds, "programs": ordered}
    save(given.out, NAME, facts)
    if given.out and given.out.resolve() == RESULTS:
        page.write_verified(facts)
    failing = [id_ for id_, result in results.items() if not result["holds"]]
    print(f"{len(results)} programs, {len(failing)} do not hold: {', '.join(failing) or '-'}")


def verified(wanted: dict[str, Program], seeds: int, processes: int = PROCESSES) -> dict[str, dict[str, Any]]:
    """Metrics of every program and whether it holds."""
    metrics: dict[str, list[float]] = {id_: [] for id_ in wanted}
    jobs = [(id_, seed) for id_ in wanted for seed in range(seeds)]
    for (id_, _), metric in spread(train, jobs, processes):
        if isinstance(metric, CrashError):
            raise RuntimeError(f"{id_} cannot be trained: {metric}")
        metrics[id_].append(metric)
    return {id_: judged(program, sorted(metrics[id_]), metrics) for id_, program in wanted.items()}


def judged(program: Program, metrics: list[float], others: dict[str, list[float]]) -> dict[str, Any]:
    """One program: its metrics, and whether it is what it says."""
    facts: dict[str, Any] = {"metrics": metrics, "mean": statistics.fmean(metrics), "chance": program.chance}
    if program.twin is None:
        return facts | {"learns": program.learns, "holds": learns(program, metrics)}
    twin = others[program.twin]
    return facts | {
        "twin": program.twin,
        "twin_mean": statistics.fmean(twin),
        "harm": statistics.fmean(twin) - statistics.fmean(metrics),
        "least_harm": least_harm(metrics, twin, program.chance),
        "holds": harmed(metrics, twin, program.chance),
    }


def learns(program: Program, metrics: list[float]) -> bool:
    """Whether every seed reaches the mark, which is above chance."""
    return min(metrics) >= program.learns > program.chance


def harmed(metrics: list[float], twin: list[float], chance: float) -> bool:
    """Whether the difference of the means is beyond the spread."""
    return statistics.fmean(twin) - statistics.fmean(metrics) > least_harm(metrics, twin, chance)


def least_harm(metrics: list[float], twin: list[float], chance: float) -> float:
    """The difference that has to be exceeded."""
    spreads = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (metrics, twin)]
    return max(SPREADS * math.hypot(*spreads), LEAST_HARM * (statistics.fmean(twin) - chance))


def told(result: dict[str, Any]) -> str:
    """In a line."""
    metrics = " ".join(f"{value:.3f}" for value in result["metrics"])
    if "twin" in result:
        return f"{metrics}, twin {result['twin_mean']:.3f}, harm {result['harm']:.3f} (> {result['least_harm']:.3f})"
    return f"{metrics}, mark {result['learns']}, chance {result['chance']}"


if __name__ == "__main__":
    main()
