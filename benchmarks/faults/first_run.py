"""The first answers about held-out families, which are kept for good.

A family is left out only once: whoever has seen the answers may mend the rules by them, without meaning to. So what the
rules of a commit said when they met a family first is stored beside the page, and never written again. There are six
sets of such families; until one has been met, no other run asks about it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.families import (
    HELD_OUT,
    HELD_OUT_FIFTH,
    HELD_OUT_FOURTH,
    HELD_OUT_SECOND,
    HELD_OUT_SIXTH,
    HELD_OUT_THIRD,
)
from benchmarks.faults.metrics import Row
from benchmarks.options import RESULTS, load

ROOT = Path(__file__).resolve().parents[2]
RULES = "src/headwater"


@dataclass(frozen=True)
class HeldOutSet:
    """Families that were left out together.

    Attributes:
        group: Its key among the groups of a result's scores, and its part of the page.
        name: Of the files with its first answers, without their endings.
        families: Their names.
    """

    group: str
    name: str
    families: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether its first answers are stored."""
        return (RESULTS / f"{self.name}.csv").exists()


SETS = {
    "first": HeldOutSet("held_out", "faults_first_run", tuple(HELD_OUT)),
    "second": HeldOutSet("held_out_second", "faults_first_run_second_set", HELD_OUT_SECOND),
    "third": HeldOutSet("held_out_third", "faults_first_run_third_set", HELD_OUT_THIRD),
    "fourth": HeldOutSet("held_out_fourth", "faults_first_run_fourth_set", HELD_OUT_FOURTH),
    "fifth": HeldOutSet("held_out_fifth", "faults_first_run_fifth_set", HELD_OUT_FIFTH),
    "sixth": HeldOutSet("held_out_sixth", "faults_first_run_sixth_set", HELD_OUT_SIXTH),
}


def not_yet_met() -> tuple[str, ...]:
    """Families that only a first run may ask about."""
    return tuple(family for held_out in SETS.values() if not held_out.met for family in held_out.families)


def group_of(family: str) -> str:
    """Key of the group that a family's answers are scored in."""
    return next((held_out.group for held_out in SETS.values() if family in held_out.families), "made_with")


def rules_of(held_out: HeldOutSet, stored: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Each family of a set and the commit of the rules that meet it first: this one if none have.

    Args:
        held_out: The set.
        stored: The result of its first run; read from its file by default.
    """
    known = load(RESULTS, held_out.name) if stored is None else stored
    here = known.get("rules") or this_commit()
    return {family: HELD_OUT.get(family, here) for family in held_out.families}


def unmet(met: Iterable[Row], seeds: int, held_out: Mapping[str, str] = HELD_OUT) -> list[tuple[str, int]]:
    """Held-out families and seeds without an answer yet.

    Args:
        met: Answers that are stored.
        seeds: How many are asked for.
        held_out: Families and the commit of the rules that may meet them first.

    Raises:
        ValueError: If there are none, or if the rules are not those of that commit.
    """
    known = {(row.family, row.seed) for row in met}
    new = [(family, seed) for family in held_out for seed in range(seeds) if (family, seed) not in known]
    if not new:
        raise ValueError(
            "every family of this held-out set has been met: its answers are kept, and a second run is no first one. "
            "Leave --first-run out, or write families that no rules have met."
        )
    for family, commit in held_out.items():
        if not unchanged_since(commit) and any(family == other for other, _ in new):
            raise ValueError(
                f"{RULES} is not as it was in {commit or 'any commit'}, whose rules {family} is to meet first. "
                "Check that commit's rules out, or commit these if no answers about the family were seen."
            )
    return new


def this_commit() -> str:
    """The commit that is checked out, in short; ``""`` without one."""
    return _git("rev-parse", "--short=7", "HEAD").stdout.strip()


def unchanged_since(commit: str) -> bool:
    """Whether no file of headwater's differs from that commit's, and none is new."""
    if not commit or _git("diff", "--quiet", commit, "--", RULES).returncode:
        return False
    return not _git("ls-files", "--others", "--exclude-standard", "--", RULES).stdout.strip()


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
