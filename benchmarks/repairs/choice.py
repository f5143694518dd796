"""Which programs are repaired: some families, everything, or a fixed random order over all families."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256

from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.program import Program
from benchmarks.repairs.reachable import lessened, reachable

SEED = 511

DEVELOPED = ("mlp", "cnn", "resnet", "recurrent", "transformer", "autoencoder", "gan", "lora", "regression")
"""Families that were run whole before anything was drawn: what was not repaired there had remedies written for it."""


def choose(families: tuple[str, ...], every: bool, only: str | None = None) -> list[Program]:
    """The programs that a remedy can reach, or lessen: all, or the first of each family and planted cause."""
    wanted = [p for p in programs(families).values() if p.fault and (reachable(p) or lessened(p))]
    wanted = [p for p in wanted if only is None or p.id.startswith(only)]
    if every:
        return wanted
    first = {(p.family, p.fault.causes[0]): p for p in reversed(wanted) if p.fault}
    return [p for p in wanted if p in first.values()]


def drawn() -> list[Program]:
    """Every program within reach that stands for its family and planted cause, as they are drawn.

    The order hangs on the seed and on the ids alone. Each id has its own place on the line of hashes, so that a program
    which is added or taken away moves no other: what was drawn before stays drawn.
    """
    within = filter(reachable, choose(tuple(FAMILIES), every=False))
    return sorted(within, key=lambda program: sha256(f"{SEED}/{program.id}".encode()).digest())


def without_a_gap(order: Iterable[Program], standing: Collection[str]) -> list[str]:
    """Ids of the programs that stand, in their order and up to the first that does not.

    What stands behind a gap is left out: programs that are quick, or were run for another reason, are too many there.
    """
    ids: list[str] = []
    for program in order:
        if program.id not in standing:
            break
        ids.append(program.id)
    return ids
