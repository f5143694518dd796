"""Ask every diagnoser about every program, and bring docs/faults.md up to date.

    python -m benchmarks.faults [--quick] [--families mlp,cnn] [--seeds 3] [--out docs/benchmarks]

Every diagnoser sees the same weights, the same data and the same number of steps, one after the other in one process;
two processes work side by side. Prints the table; with ``--out`` the answers are written there too, and with
``--out docs/benchmarks`` the page is made anew.
"""

from __future__ import annotations

import csv
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.faults import page
from benchmarks.faults.diagnosers import DIAGNOSERS
from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.judging import judge, warm_up
from benchmarks.faults.metrics import Row, by, left_out, score, threshold_below
from benchmarks.faults.pool import PROCESSES, spread
from benchmarks.faults.verify import NAME as VERIFIED
from benchmarks.options import RESULTS, load, one_of, parser, save, say
from benchmarks.worker import CrashError

NAME = "faults"
SEEDS = 3
FITTED = "grad_flow_fitted"


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    options = parser(__doc__)
    options.add_argument(
        "--families", type=lambda text: one_of(dict.fromkeys(FAMILIES), text), help="some families only: mlp,cnn"
    )
    options.add_argument(
        "--diagnosers", type=lambda text: one_of(DIAGNOSERS, text), help="some only: headwater,torchmortem"
    )
    options.add_argument("--seeds", type=int, help=f"runs of each program (default: {SEEDS}; 1 with --quick)")
    options.add_argument("--only", help="programs whose id starts so, as mlp/relu")
    options.add_argument("--processes", type=int, default=PROCESSES, help="at work side by side")
    given = options.parse_args(arguments)
    started = time.monotonic()
    families = tuple(given.families or FAMILIES)
    seeds = given.seeds or (1 if given.quick else SEEDS)
    asked = tuple(given.diagnosers or DIAGNOSERS)
    wanted = [id_ for id_ in programs(families) if given.only is None or id_.startswith(given.only)]
    rows = judged(wanted, seeds, asked, given.quick, given.processes)
    result = summary(rows) | {
        "machine": machine.describe(1),
        "quick": given.quick,
        "seeds": seeds,
        "programs": len(wanted),
        "minutes": (time.monotonic() - started) / 60,
    }
    save(given.out, NAME, result)
    save_answers(given.out, rows)
    print(page.table_of(result))
    whole = not (given.quick or given.families or given.diagnosers or given.only)
    if given.out and given.out.resolve() == RESULTS and whole:
        page.write(result, rows, load(RESULTS, VERIFIED))


def judged(wanted: list[str], seeds: int, asked: tuple[str, ...], quick: bool, processes: int) -> list[Row]:
    """All answers, in the order of the programs.

    Raises:
        RuntimeError: If a program takes its process down.
    """
    jobs = [(id_, seed, asked, quick) for id_ in wanted for seed in range(seeds)]
    say(f"{len(wanted)} programs, {seeds} seeds, {len(asked)} diagnosers")
    rows: list[Row] = []
    for (id_, seed, *_), answers in spread(judge, jobs, processes, warm_up):
        if isinstance(answers, CrashError):
            raise RuntimeError(f"{id_} with seed {seed}: {answers}")
        rows += answers
    order = {id_: place for place, id_ in enumerate(wanted)}
    return sorted(rows, key=lambda row: (order[row.program], row.seed, asked.index(row.diagnoser)))


def save_answers(out: Path | None, rows: list[Row]) -> None:
    """Every answer as a line of ``faults_answers.csv``, but for those of who is always content."""
    if out is None:
        return
    names = [field.name for field in fields(Row)]
    with (out / f"{NAME}_answers.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(names)
        for row in rows:
            if row.diagnoser != "optimist":
                lines.writerow([cell(getattr(row, name)) for name in names])


def cell(value: Any) -> Any:
    """Lists by blanks, numbers to three digits, truth as 0 and 1."""
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, bool):
        return int(value)
    return f"{value:.3g}" if isinstance(value, float) else value


def summary(rows: list[Row]) -> dict[str, Any]:
    """Scores of each diagnoser, over all runs and per family.

    headwater's limits are constants with a source and not chosen on these programs, so no family can be left out of
    choosing them: its figures per family are the left-out ones. The rule of thumb is shown a second time with the
    threshold that suits all *other* families best.
    """
    apart = by(rows, "diagnoser")
    if "grad_flow" in apart and len(by(apart["grad_flow"], "family")) > 1:
        apart[FITTED] = left_out(apart["grad_flow"], threshold_below)
    return {
        "scores": {name: score(own).to_dict() for name, own in apart.items()},
        "families": {
            name: {family: score(part).to_dict() for family, part in by(own, "family").items()}
            for name, own in apart.items()
        },
    }
