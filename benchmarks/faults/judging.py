"""One program under one seed, asked of every diagnoser: what runs in a worker process."""

from __future__ import annotations

import logging
import time
import warnings
from functools import cache

from benchmarks.faults.diagnosers import DIAGNOSERS, Opinion
from benchmarks.faults.families import programs
from benchmarks.faults.metrics import Row, matches
from benchmarks.faults.program import Program
from benchmarks.faults.training import learnt

SITES_KEPT = 6
LINE = 160


@cache
def known() -> dict[str, Program]:
    """All programs."""
    return programs()


def judge(program_id: str, seed: int, diagnosers: tuple[str, ...], quick: bool = False) -> list[Row]:
    """What each diagnoser says; one that fails has no opinion, and its error is kept.

    Args:
        program_id: Of the program.
        seed: Of weights and data.
        diagnosers: Keys of ``DIAGNOSERS``.
        quick: Watch a quarter of the steps: does it run?
    """
    program = known()[program_id]
    steps = max(4, program.watched // 4) if quick else program.watched
    return [row(program, seed, name, steps) for name in diagnosers]


def row(program: Program, seed: int, diagnoser: str, steps: int) -> Row:
    """One diagnoser's opinion, judged."""
    logging.disable(logging.CRITICAL)
    crash, started = "", time.perf_counter()
    experiment = program.make()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opinion = DIAGNOSERS[diagnoser].diagnose(experiment, steps, seed)
    except Exception as error:  # whatever it is: the benchmark goes on, and says so
        opinion, crash = Opinion(False), f"{type(error).__name__}: {' '.join(str(error).split())}"[:LINE]
    symptom, cause, site = matches(opinion, program.fault)
    return Row(
        program=program.id,
        family=program.family,
        faulty=program.fault is not None,
        seed=seed,
        diagnoser=diagnoser,
        alarm=opinion.alarm,
        symptom=opinion.symptom,
        cause=opinion.cause,
        sites=opinion.sites[:SITES_KEPT],
        verdict=opinion.verdict,
        symptom_right=symptom,
        cause_right=cause,
        site_right=site,
        seconds=time.perf_counter() - started,
        crash=crash,
        value=opinion.value,
        undecided=opinion.undecided,
    )


def train(program_id: str, seed: int) -> float:
    """The metric of a program after its steps."""
    program = known()[program_id]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return learnt(program.make(), program.steps, seed)


def warm_up() -> None:
    """Let nobody pay for imports and compilation."""
    program = next(iter(known().values()))
    for name in DIAGNOSERS:
        row(program, 0, name, 4)
