"""The results as Markdown, and as the page docs/repairs.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.faults.metrics import Share, by
from benchmarks.options import RESULTS, say
from benchmarks.repairs.arms import Repair
from benchmarks.tables import between, machine_line, table
from headwater.remedies.proof import t_interval

PAGE = RESULTS.parent / "repairs.md"
SMALL_GAIN = 1.0  # points, of which AUTOTRAINER's repairs gain less in up to a tenth of their cases

LABELS = {
    "headwater": "headwater (`hw.fix`)",
    "recipe": "ReLU + He + batch normalisation + Adam",
    "random": "a remedy drawn at random",
}
HEADS = ["", "programs", "adopted", "mean gain, points", "gain below 1 point", "harmful", "seconds until adopted"]

Result = dict[str, Any]


def write(result: Result) -> None:
    """Rewrite what stands between the page's markers."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in {"repairs": tables(result), "causes": causes(result), "misses": misses(result)}.items():
        text = between(text, name, content)
    PAGE.write_text(text, encoding="utf-8")
    say(f"written: {PAGE}")


def repairs_of(result: Result) -> list[Repair]:
    """The records as they were before they became JSON."""
    fields = [{key: value for key, value in one.items() if key != "gain"} for one in result["repairs"]]
    lists = ("remedies", "before", "after")
    return [Repair(**{key: tuple(value) if key in lists else value for key, value in one.items()}) for one in fields]


def tables(result: Result) -> str:
    """Every arm in a row."""
    rows = by(repairs_of(result), "arm")
    line = (
        f"{result['programs']} of {result['reachable']} programs within reach, at most {result['budget_s']:g} seconds "
        f"of search for each, in {result['minutes']:.0f} minutes. Families: {', '.join(result['families'])}."
    )
    return "\n\n".join([machine_line(result), line, table(HEADS, [row(name, own) for name, own in rows.items()])])


def row(arm: str, repairs: list[Repair]) -> list[str]:
    """One arm."""
    adopted = [one for one in repairs if one.after]
    gains = [one.gain for one in adopted]
    return [
        LABELS[arm],
        str(len(repairs)),
        share(repairs, lambda one: bool(one.after)),
        mean(gains),
        share(adopted, lambda one: one.gain < SMALL_GAIN),
        share(adopted, harmful),
        f"{statistics.median(one.seconds for one in adopted):.1f}" if adopted else "-",
    ]


def harmful(one: Repair) -> bool:
    """Whether the program is surely worse than it was: the 95 % interval over fresh seeds lies below 0."""
    return bool(one.after) and t_interval(one.gains)[1] < 0


def share(repairs: list[Repair], holds: Callable[[Repair], bool]) -> str:
    """How many, with Wilson's interval."""
    found = Share(sum(map(holds, repairs)), len(repairs))
    if not found.runs:
        return "-"
    low, high = (100 * end for end in found.interval)
    return f"{found.hits} of {found.runs}, {100 * found.value:.1f} % ({low:.1f} to {high:.1f})"


def mean(gains: list[float]) -> str:
    """With its interval over programs."""
    if len(gains) < 2:
        return "-" if not gains else f"{gains[0]:.1f}"
    low, high = t_interval(gains)
    return f"{statistics.fmean(gains):.1f} ({low:.1f} to {high:.1f})"


def causes(result: Result) -> str:
    """What headwater did, by what was planted."""
    own = [one for one in repairs_of(result) if one.arm == "headwater"]
    cells = []
    for cause, part in sorted(by(own, "cause").items()):
        adopted = [one for one in part if one.after]
        names: dict[str, int] = {}
        for one in adopted:
            names[" + ".join(one.remedies)] = names.get(" + ".join(one.remedies), 0) + 1
        often = sorted(names, key=lambda name: -names[name])[:3]
        told = "; ".join(f"{name} ({names[name]})" if names[name] > 1 else name for name in often)
        cells.append([f"`{cause}`", f"{len(adopted)} of {len(part)}", mean([one.gain for one in adopted]), told or "-"])
    return table(["planted", "proven", "mean gain, points", "most often"], cells)


def misses(result: Result) -> str:
    """What was not repaired, and what was adopted and did not help."""
    own = [one for one in repairs_of(result) if one.arm == "headwater"]
    parts = {
        "Not repaired": [f"`{one.program}` ({one.failure or one.verdict})" for one in own if not one.after],
        "Adopted, and below 1 point on fresh seeds": [
            f"`{one.program}` ({' + '.join(one.remedies)}, {one.gain:+.1f})"
            for one in own
            if one.after and one.gain < SMALL_GAIN
        ],
        "Harmful": [f"`{one.program}` ({' + '.join(one.remedies)}, {one.gain:+.1f})" for one in own if harmful(one)],
    }
    return "\n\n".join(f"**{name}**: {', '.join(found) or 'none'}." for name, found in parts.items())
