"""How right the diagnosers were: shares with their Wilson intervals, over all programs and per family."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.faults.diagnosers import Opinion
from benchmarks.faults.program import Fault

Z = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Row:
    """One diagnoser on one program under one seed.

    Attributes:
        program: Its id.
        family: Its family.
        faulty: Whether a fault was planted.
        seed: Of weights and data.
        diagnoser: Who was asked.
        alarm: Whether it warned.
        symptom: What it put first.
        cause: And why.
        sites: And where, at most a few.
        verdict: Its own words.
        symptom_right: Whether the symptom is an accepted one; ``None`` for a healthy program.
        cause_right: The same of the cause.
        site_right: The same of the place; ``None`` also where the fault has none.
        seconds: It took.
        crash: Why it gave no opinion, ``""`` if it did.
        value: The number its verdict rests on, if it is one.
        undecided: Whether it said that it cannot tell.
    """

    program: str
    family: str
    faulty: bool
    seed: int
    diagnoser: str
    alarm: bool
    symptom: str | None
    cause: str | None
    sites: tuple[str, ...]
    verdict: str
    symptom_right: bool | None
    cause_right: bool | None
    site_right: bool | None
    seconds: float
    crash: str = ""
    value: float | None = None
    undecided: bool = False


@dataclass(frozen=True)
class Share:
    """So many of so many, with the interval that the true share lies in.

    Attributes:
        hits: How many.
        runs: Of how many.
    """

    hits: int
    runs: int

    @property
    def value(self) -> float:
        """Between 0 and 1; NaN of none."""
        return self.hits / self.runs if self.runs else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Wilson 1927, which holds near 0 and 1 too; everything is possible of none.

        Source:
            Wilson 1927, J. Am. Stat. Assoc. 22, 209-212; Brown, Cai and DasGupta 2001, section 3.1.1.
        """
        if not self.runs:
            return 0.0, 1.0
        p, n = self.value, self.runs
        centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"hits": self.hits, "runs": self.runs, "share": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class Score:
    """One diagnoser over some runs.

    Attributes:
        detected: Faulty runs that it warned of.
        symptom: Faulty runs whose symptom it put first.
        cause: Faulty runs whose cause it put first.
        site: Faulty runs with a place where it named that.
        false_alarms: Healthy runs that it warned of.
        silent: Runs without an opinion: it failed, or could not tell.
        seconds: Median time of a run.
    """

    detected: Share
    symptom: Share
    cause: Share
    site: Share
    false_alarms: Share
    silent: Share
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        shares = ("detected", "symptom", "cause", "site", "false_alarms", "silent")
        return {name: getattr(self, name).to_dict() for name in shares} | {"seconds": self.seconds}


def matches(opinion: Opinion, fault: Fault | None) -> tuple[bool | None, bool | None, bool | None]:
    """Whether symptom, cause and place are accepted ones; ``None`` where there is nothing to match."""
    if fault is None:
        return None, None, None
    symptom = opinion.alarm and opinion.symptom in fault.symptoms
    cause = opinion.alarm and opinion.cause in fault.causes
    return symptom, cause, None if fault.sites is None else opinion.alarm and place_right(opinion.sites, fault.sites)


def place_right(named: Sequence[str], accepted: Sequence[str]) -> bool:
    """Whether at least half of the named places are accepted ones: naming everything is naming nothing."""
    hits = sum(any(fnmatchcase(name, glob) for glob in accepted) for name in map(module_of, named))
    return hits > 0 and 2 * hits >= len(named)


def module_of(site: str) -> str:
    """The module a site or parameter belongs to: ``body.0`` of ``body.0/relu#1`` and of ``body.0.weight``."""
    module = site.partition("/")[0].partition("#")[0]
    owner, _, last = module.rpartition(".")
    return owner if last.startswith(("weight", "bias")) and not last.endswith("s") else module


def score(rows: Iterable[Row]) -> Score:
    """All runs of one diagnoser."""
    known = list(rows)
    faulty = [row for row in known if row.faulty]
    healthy = [row for row in known if not row.faulty]
    return Score(
        detected=share(row.alarm for row in faulty),
        symptom=share(row.symptom_right for row in faulty),
        cause=share(row.cause_right for row in faulty),
        site=share(row.site_right for row in faulty if row.site_right is not None),
        false_alarms=share(row.alarm for row in healthy),
        silent=share(bool(row.crash) or row.undecided for row in known),
        seconds=statistics.median([row.seconds for row in known]) if known else math.nan,
    )


def share(hits: Iterable[bool | None]) -> Share:
    """Of some yes or no."""
    known = [bool(hit) for hit in hits]
    return Share(sum(known), len(known))


def by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """Rows apart by one of their attributes, in the order they come in."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts[str(getattr(row, key))].append(row)
    return dict(parts)


Judge = Callable[[Row], Row]


def left_out(rows: Sequence[Row], choose: Callable[[list[Row]], Judge]) -> list[Row]:
    """Rows judged anew, those of each family by what was chosen on all others.

    Args:
        rows: Of one diagnoser.
        choose: From rows of other families to how a row is judged: with a threshold, say.
    """
    families = by(rows, "family")
    judged: list[Row] = []
    for family, own in families.items():
        judge = choose([row for other, part in families.items() if other != family for row in part])
        judged += [judge(row) for row in own]
    return judged


def threshold_below(rows: list[Row]) -> Judge:
    """Warn where ``value`` is below the threshold that tells faulty from healthy best on ``rows``.

    Best is the largest detected share less the share of false alarms (Youden's J).
    """
    known = sorted({row.value for row in rows if row.value is not None})
    faulty = [row.value for row in rows if row.faulty and row.value is not None]
    healthy = [row.value for row in rows if not row.faulty and row.value is not None]

    def youden(limit: float) -> float:
        return share(v < limit for v in faulty).value - share(v < limit for v in healthy).value

    limit = max(known, key=youden) if faulty and healthy else 0.0

    def judge(row: Row) -> Row:
        warned = row.value is not None and row.value < limit
        if warned == row.alarm or row.value is None:
            return row
        return replace(
            row, alarm=warned, symptom_right=row.symptom_right and warned, cause_right=row.cause_right and warned
        )

    return judge
