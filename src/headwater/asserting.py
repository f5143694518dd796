"""What a test suite asks of a report: is it healthy, within the limits that a project has set for itself?

A project may know better about some of its layers: that half of the units of a sparse encoder are off is as it should
be. So limits can be set for a statistic in the layers that a pattern names. They stand in place of ours there: a
finding that rests on that statistic in those layers alone is no reason to fail, and going beyond the limit is one,
whatever our rules say.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeGuard

from headwater.records import Finding, InputError
from headwater.records.flow import COLUMNS
from headwater.report import Report
from headwater.report.words import Words, glyph

Limit = float | tuple[float | None, float | None]
Limits = Mapping[str, Mapping[str, Limit]]

MOST_LINES = 12
MOST_SHOWN = 3  # findings, three lines each
WIDTH = 160
_NAMES = tuple(name for name in COLUMNS if name not in ("site", "op", "order"))
_EXAMPLE = 'limits={"encoder.*": {"dead_fraction": 0.9, "update_ratio": (1e-6, 0.1)}}'


@dataclass(frozen=True)
class Breach:
    """A statistic of a layer that is beyond the limit a project has set.

    Attributes:
        site: Where.
        statistic: Which.
        value: What was measured.
        limit: The least or the most it may be.
    """

    site: str
    statistic: str
    value: float
    limit: float


def reason_to_fail(name: str, report: Report, allow: Collection[str], limits: Limits) -> str | None:
    """What is wrong, in at most twelve lines; ``None`` for a healthy model.

    Args:
        name: Of the model.
        report: Of the check.
        allow: Symptoms that are no reason, and ``cannot_tell`` for that verdict.
        limits: By pattern of sites and by statistic: the most it may be, or the least and the most.

    Raises:
        InputError: If a limit names no statistic or no site.
    """
    checked = _checked(limits, report)
    breaches = _breaches(report, checked)
    wrong = [
        finding
        for finding in report.findings
        if finding.severity != "info" and finding.symptom not in allow and not _is_overruled(finding, checked)
    ]
    undecided = report.verdict == "cannot_tell" and "cannot_tell" not in allow
    return _told(name, report, wrong, breaches, undecided) if wrong or breaches or undecided else None


_Checked = list[tuple[str, str, float, float]]


def _checked(limits: Limits, report: Report) -> _Checked:
    """Pattern, statistic, least and most of each limit."""
    sites = [row.site.name for row in report.flow.sites]
    found: _Checked = []
    for pattern, of_statistics in limits.items():
        if not isinstance(of_statistics, Mapping):
            raise InputError(f"limits says for which layers, of what, how much: {_EXAMPLE}.")
        if not any(fnmatchcase(site, pattern) for site in sites):
            near = difflib.get_close_matches(pattern.rstrip(".*"), sites, n=4, cutoff=0.3) or sites[:4]
            raise InputError(f"limits: no site is called {pattern!r}; there are {', '.join(near)}, …")
        for statistic, limit in of_statistics.items():
            if statistic not in _NAMES:
                near = difflib.get_close_matches(str(statistic), _NAMES, n=3, cutoff=0.3) or list(_NAMES)
                raise InputError(f"limits: nothing called {statistic!r} is measured; there is {', '.join(near)}.")
            found.append((pattern, statistic, *_range(limit)))
    return found


def _range(limit: Limit) -> tuple[float, float]:
    low, high = limit if isinstance(limit, tuple) and len(limit) == len(("low", "high")) else (None, limit)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if not (_is_number(low) and _is_number(high)):
        raise InputError(f"a limit is the most it may be, or the least and the most, got {limit!r}: {_EXAMPLE}.")
    return float(low), float(high)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _breaches(report: Report, checked: _Checked) -> list[Breach]:
    found = []
    for row in report.flow.sites:
        for statistic, (low, high) in _limits_of(row.site.name, checked).items():
            value = COLUMNS[statistic](row)
            if value is not None and not low <= value <= high:  # NaN is in no range
                found.append(Breach(row.site.name, statistic, value, low if value < low else high))
    return found


def _limits_of(site: str, checked: _Checked) -> dict[str, tuple[float, float]]:
    """What holds for a site; of two patterns that fit it, the later one."""
    return {statistic: (low, high) for pattern, statistic, low, high in checked if fnmatchcase(site, pattern)}


def _is_overruled(finding: Finding, checked: _Checked) -> bool:
    """Whether all its layers have a limit of their own for what it rests on."""
    statistic = finding.evidence[0].statistic if finding.evidence else ""
    return bool(finding.sites) and all(statistic in _limits_of(site, checked) for site in finding.sites)


def _told(name: str, report: Report, wrong: list[Finding], breaches: list[Breach], undecided: bool) -> str:
    words = Words.of(None)
    lines = [f"{name} is not known to be healthy."]
    blocks = [[_breach(breach, words)] for breach in breaches[:MOST_SHOWN]]
    blocks += [_block(finding, words) for finding in wrong[:MOST_SHOWN]]
    if undecided:
        missing = [words.say(message) for message in (*report.diagnosis.unchecked, *report.flow.gaps)]
        blocks.append([f"{glyph('cannot_tell')} {words('report.headline_cannot_tell')}", *missing[:MOST_SHOWN]])
    shown = 0
    for block in blocks:
        if len(lines) + len(block) > MOST_LINES - 1:
            break
        lines, shown = [*lines, *block], shown + 1
    rest = len(wrong) + len(breaches) + undecided - shown
    if rest > 0:
        lines.append(f"… {rest} more; hw.check(...) shows all.")
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines)


def _breach(breach: Breach, words: Words) -> str:
    value, limit = (words.value(breach.statistic, v) for v in (breach.value, breach.limit))
    return f"✗ {breach.site}: {words.statistic(breach.statistic)} {value} (limit {limit})"


def _block(finding: Finding, words: Words) -> list[str]:
    """Layer and symptom; what was measured and what it was held against; what to do."""
    lines = [f"{glyph(finding.severity)} {words.symptom(finding.symptom)} · {words.where(finding.sites)}"]
    held = next((item for item in finding.evidence if item.threshold is not None), None)
    if held is not None:
        lines.append(f"  {words.evidence(held)}" + (f" · {words.site(held.site)}" if held.site else ""))
    if finding.prescriptions:
        best = finding.prescriptions[0]
        remedies = " + ".join(best.remedies)
        lines.append(f"  {words('report.fix')}: {remedies} ({words.remedies(best.remedies)})")
    elif finding.causes:
        lines.append(f"  {words('report.fix')}: {words.say(finding.causes[0].why)}")
    return lines
