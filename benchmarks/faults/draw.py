"""The programs of the table that one command makes: drawn from all families alike, under a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest

from benchmarks.faults.families import programs
from benchmarks.faults.program import Program

OF_EACH = 120  # faulty, and as many healthy: with three seeds a quarter of an hour on two cores
SEED = 0


def drawn(families: Sequence[str], of_each: int = OF_EACH) -> list[str]:
    """Ids of as many faulty as healthy programs: one from each family, then a second one, until there are enough.

    Args:
        families: To draw from.
        of_each: How many faulty ones, and how many healthy ones.
    """
    known = programs(tuple(families))
    chance = random.Random(SEED)
    faulty = islice(_in_turn([p for p in known.values() if p.fault], chance), of_each)
    healthy = islice(_in_turn([p for p in known.values() if not p.fault], chance), of_each)
    chosen = {program.id for program in chain(faulty, healthy)}
    return [id_ for id_ in known if id_ in chosen]


def _in_turn(wanted: list[Program], chance: random.Random) -> Iterator[Program]:
    """In random order, and no family again before each of the others has had its turn."""
    families: dict[str, list[Program]] = {}
    for program in chance.sample(wanted, len(wanted)):
        families.setdefault(program.family, []).append(program)
    rounds = zip_longest(*families.values())
    return (program for program in chain.from_iterable(rounds) if program is not None)
