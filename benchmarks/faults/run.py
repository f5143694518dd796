"""Ask every diagnoser about every program, and bring docs/faults.md up to date.

    python -m benchmarks.faults [--quick] [--families mlp,cnn] [--seeds 3] [--out docs/benchmarks]
    python -m benchmarks.faults --every [--renew] [--out docs/benchmarks]
    python -m benchmarks.faults --first-run sixth

Every diagnoser sees the same weights, the same data and the same number of steps, one after the other in one process;
two processes work side by side. Prints the table; with ``--out`` the answers are written there too, and with
``--out docs/benchmarks`` the page is made anew. The first line takes programs drawn from all families alike, and three
seeds of each; the second takes every program, one seed of each, and with ``--renew`` asks headwater alone after its
rules have changed, and takes what the others said from their last run. The third asks about a set of held-out families
for the first time, which is possible once, and keeps the answers there.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import machine
from benchmarks.faults import first_run, page
from benchmarks.faults.answers import ANSWERS, load_answers, save_answers
from benchmarks.faults.diagnosers import DIAGNOSERS, USUAL
from benchmarks.faults.draw import drawn
from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.judging import judge, warm_up
from benchmarks.faults.metrics import Row, by, left_out, score, threshold_below
from benchmarks.faults.pool import PROCESSES, spread
from benchmarks.faults.verify import NAME as VERIFIED
from benchmarks.options import RESULTS, load, one_of, parser, save, say
from benchmarks.worker import CrashError

NAME = "faults"
DRAWN = "faults_drawn"
SEEDS = 3  # of each program that is drawn
FITTED = "grad_flow_fitted"
RENEWED = ("headwater", "optimist")  # the second says the same of everything, and nobody stores it


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    options = _options()
    given = options.parse_args(arguments)
    started = time.monotonic()
    part = bool(given.quick or given.families or given.diagnosers or given.only)
    if problem := _contradiction(given, part):
        options.error(problem)
    given.every |= given.renew
    draws = not (given.every or given.families or given.only or given.first_run)
    seeds = given.seeds or (SEEDS if draws and not given.quick else 1)
    asked = RENEWED if given.renew else tuple(given.diagnosers or USUAL)
    _require(asked, options)
    held_out = first_run.SETS[given.first_run] if given.first_run else None
    families = held_out.families if held_out else _met(given.families, options)
    among = drawn(families) if draws else programs(families)
    wanted = [id_ for id_ in among if given.only is None or id_.startswith(given.only)]
    jobs = [(id_, seed) for id_ in wanted for seed in range(seeds)]
    met: list[Row] = []
    rules: dict[str, str] = {}
    if held_out:
        given.out = RESULTS  # they are kept, whoever asks
        met, rules = load_answers(RESULTS, held_out.name), first_run.rules_of(held_out)
        jobs = _unmet(jobs, met, seeds, rules, options)
    kept = answers_of_others(set(jobs)) if given.renew else []
    rows = [*met, *kept, *judged(jobs, asked, given.quick, given.processes)]
    result = summary(rows) | {
        "machine": machine.describe(1),
        "quick": given.quick,
        "seeds": seeds,
        "programs": len(wanted),
        "minutes": (time.monotonic() - started) / 60,
    }
    if given.renew:
        result["kept"] = list(dict.fromkeys(row.diagnoser for row in kept))
    if held_out:
        result["rules"] = ", ".join(dict.fromkeys(rules.values()))
    _write(given, part, draws, result, rows)


def _contradiction(given: argparse.Namespace, part: bool) -> str | None:
    """What is wrong with these options together."""
    if part and given.first_run:
        return "--first-run keeps the answers of everybody about everything: leave the choice out."
    if part and given.renew:
        return "--renew asks headwater about everything again: leave the choice out."
    if part and given.every:
        return "--every asks everybody about every program: leave the choice out."
    if given.first_run and (given.every or given.renew):
        return "--first-run asks about one set of held-out families alone: leave --every and --renew out."
    return None


def _options() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument(
        "--families", type=lambda text: one_of(dict.fromkeys(FAMILIES), text), help="some families only: mlp,cnn"
    )
    options.add_argument(
        "--diagnosers", type=lambda text: one_of(DIAGNOSERS, text), help="some only: headwater,torchmortem"
    )
    options.add_argument("--seeds", type=int, help=f"runs of each program (default: {SEEDS} of those drawn, else 1)")
    options.add_argument("--every", action="store_true", help="every program, not some drawn from all families alike")
    options.add_argument(
        "--renew", action="store_true", help="every program, of headwater alone: others' last answers stay"
    )
    options.add_argument("--only", help="programs whose id starts so, as mlp/relu")
    options.add_argument("--processes", type=int, default=PROCESSES, help="at work side by side")
    options.add_argument(
        "--first-run",
        nargs="?",
        const=list(first_run.SETS)[-1],
        choices=list(first_run.SETS),
        help="a set of held-out families that no rules have met; keeps the answers for good (default: the last set)",
    )
    return options


def _require(asked: tuple[str, ...], options: argparse.ArgumentParser) -> None:
    """Refuse to ask who is not installed."""
    for name in asked:
        try:
            DIAGNOSERS[name].require()
        except ImportError as error:
            options.error(f"{name} cannot be asked ({error}): `make bench` installs it, --diagnosers leaves it out.")


def _met(chosen: list[str] | None, options: argparse.ArgumentParser) -> tuple[str, ...]:
    """The families to ask about: none that a first run has yet to ask about."""
    waiting = first_run.not_yet_met()
    if early := [family for family in chosen or () if family in waiting]:
        options.error(f"no rules have met {', '.join(early)}, and only --first-run may ask about them first.")
    if waiting and not chosen:
        say(f"left out, for a first run to ask about: {', '.join(waiting)}")
    return tuple(family for family in chosen or FAMILIES if family not in waiting)


def _unmet(
    jobs: list[tuple[str, int]],
    met: list[Row],
    seeds: int,
    rules: dict[str, str],
    options: argparse.ArgumentParser,
) -> list[tuple[str, int]]:
    """The programs and seeds that the rules have not met."""
    try:
        new = first_run.unmet(met, seeds, rules)
    except ValueError as error:
        options.error(str(error))
    return [(id_, seed) for id_, seed in jobs if (id_.partition("/")[0], seed) in new]


def answers_of_others(jobs: set[tuple[str, int]]) -> list[Row]:
    """What the other diagnosers last said of these programs and seeds: it does not depend on headwater's rules."""
    names = [ANSWERS, *(held_out.name for held_out in first_run.SETS.values())]
    stored = [row for name in reversed(names) for row in load_answers(RESULTS, name) if row.diagnoser not in RENEWED]
    # The last run of all comes last, and so replaces what was said at first.
    latest = {(row.program, row.seed, row.diagnoser): row for row in stored}
    return [row for row in latest.values() if (row.program, row.seed) in jobs]


def _write(given: argparse.Namespace, part: bool, draws: bool, result: dict[str, Any], rows: list[Row]) -> None:
    """Print the table; save the answers and bring the page up to date where that was asked for."""
    held_out = first_run.SETS[given.first_run] if given.first_run else None
    name, answers = (held_out.name, held_out.name) if held_out else (DRAWN, DRAWN) if draws else (NAME, ANSWERS)
    save(given.out, name, result)
    save_answers(given.out, rows, answers)
    print(page.drawn_table(result) if draws else page.table_of(result))
    published = given.out and given.out.resolve() == RESULTS
    if published and held_out:
        page.write_first_run(held_out, result, load(RESULTS, NAME))
    if published and draws and not part:
        page.write_drawn(result)
    if published and given.every:
        firsts = {key: load(RESULTS, held_out.name) for key, held_out in first_run.SETS.items()}
        page.write(result, rows, load(RESULTS, VERIFIED), firsts)


def judged(wanted: list[tuple[str, int]], asked: tuple[str, ...], quick: bool, processes: int) -> list[Row]:
    """All answers, in the order of the programs and seeds.

    Raises:
        RuntimeError: If a program takes its process down.
    """
    jobs = [(id_, seed, asked, quick) for id_, seed in wanted]
    say(f"{len(jobs)} programs and seeds, {len(asked)} diagnosers")
    rows: list[Row] = []
    for (id_, seed, *_), answers in spread(judge, jobs, processes, warm_up):
        if isinstance(answers, CrashError):
            raise RuntimeError(f"{id_} with seed {seed}: {answers}")
        rows += answers
    order = {job: place for place, job in enumerate(wanted)}
    return sorted(rows, key=lambda row: (order[row.program, row.seed], asked.index(row.diagnoser)))


def summary(rows: list[Row]) -> dict[str, Any]:
    """Scores of each diagnoser, over all runs and per family.

    Families that headwater's rules were made with and each set of held-out ones are scored apart. The rule of thumb is
    shown a second time with the threshold that suits all *other* families best.
    """
    apart = by(rows, "diagnoser")
    if "grad_flow" in apart and len(by(apart["grad_flow"], "family")) > 1:
        apart[FITTED] = left_out(apart["grad_flow"], threshold_below)
    groups = {
        name: {
            diagnoser: [row for row in own if first_run.group_of(row.family) == name]
            for diagnoser, own in apart.items()
        }
        for name in page.GROUPS
    }
    return {
        "scores": {name: score(own).to_dict() for name, own in apart.items()},
        "groups": {
            name: {diagnoser: score(own).to_dict() for diagnoser, own in group.items()}
            for name, group in groups.items()
            if any(group.values())
        },
        "families": {
            name: {family: score(part).to_dict() for family, part in by(own, "family").items()}
            for name, own in apart.items()
        },
    }
