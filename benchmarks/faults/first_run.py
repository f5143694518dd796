"""The first answers about held-out families, which are kept for good.

A family is left out only once: whoever has seen the answers may mend the rules by them, without meaning to. So what the
rules of a commit said when they met a family first is stored beside the page, and never written again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.faults.families import HELD_OUT
from benchmarks.faults.metrics import Row

NAME = "faults_first_run"
ROOT = Path(__file__).resolve().parents[2]
RULES = "src/headwater"


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
            f"every held-out family has been met: {NAME}.csv keeps the answers, and a second run is no first one. "
            "Leave --first-run out, or add a family to HELD_OUT."
        )
    for family, commit in held_out.items():
        if not unchanged_since(commit) and any(family == other for other, _ in new):
            raise ValueError(
                f"{RULES} is not as it was in {commit}, the commit that HELD_OUT names for {family}. "
                "Check that commit's rules out, or name the commit of these if no answers about the family were seen."
            )
    return new


def unchanged_since(commit: str) -> bool:
    """Whether no file of headwater's differs from that commit's."""
    done = subprocess.run(["git", "diff", "--quiet", commit, "--", RULES], cwd=ROOT, capture_output=True, check=False)
    return done.returncode == 0
