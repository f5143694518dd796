"""The results as Markdown, and as the page docs/repairs.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.metrics import Share, by
from benchmarks.options import RESULTS, say
from benchmarks.repairs.arms import Repair
from benchmarks.repairs.choice import DEVELOPED, SEED, drawn, without_a_gap
from benchmarks.repairs.reachable import OUT_OF_REACH, lessened, reachable
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
    parts = {
        "repairs": tables,
        "sample": sample,
        "families": families,
        "causes": causes,
        "misses": misses,
        "beyond": beyond,
    }
    for name, content in parts.items():
        text = between(text, name, content(result))
    PAGE.write_text(text, encoding="utf-8")
    say(f"written: {PAGE}")


def repairs_of(result: Result) -> list[Repair]:
    """The records as they were before they became JSON."""
    fields = [{key: value for key, value in one.items() if key != "gain"} for one in result["repairs"]]
    lists = ("remedies", "before", "after")
    return [Repair(**{key: tuple(value) if key in lists else value for key, value in one.items()}) for one in fields]


def within_reach(result: Result) -> list[Repair]:
    """Repairs of programs whose fault a remedy could undo."""
    known = programs(tuple(FAMILIES))
    return [one for one in repairs_of(result) if one.program in known and reachable(known[one.program])]


def tables(result: Result) -> str:
    """Every arm in a row, over the programs that every arm has had."""
    own = within_reach(result)
    rows = by(own, "arm")
    done = {one.program for one in own}
    budgets = sorted({one.budget_s for one in own if one.arm == "headwater"})
    seconds = " or ".join(f"{budget:g}" for budget in budgets)
    commits = ", ".join(sorted({one.commit for one in own if one.commit}))
    line = (
        f"{len(done)} programs within reach, of {result['default']} that are one for each family and planted cause "
        f"and {result['reachable']} in all; of {len({one.family for one in own})} of {len(FAMILIES)} families. "
        f"At most {seconds} seconds of search for each; {result['minutes']:.0f} minutes in all"
        + (f", at {commits}." if commits else ".")
    )
    return "\n\n".join([machine_line(result), line, table(HEADS, [row(name, part) for name, part in rows.items()])])


def sample(result: Result) -> str:
    """How many are proven of what has been drawn at random, beside all that has been run."""
    order = drawn()
    ours = {one.program: one for one in within_reach(result) if one.arm == "headwater"}
    ids = without_a_gap(order, ours)
    rows = {
        f"drawn at random, of all {len(order)}": [ours[id_] for id_ in ids],
        "of these, families that remedies were written against": [ours[i] for i in ids if _developed(ours[i])],
        "of these, families that nobody had repaired before": [ours[i] for i in ids if not _developed(ours[i])],
        "all that were run": list(ours.values()),
    }
    heads = ["headwater", "programs", "proven", "mean gain, points", "gain below 1 point", "harmful"]
    whole = ", ".join(f"`{family}`" for family in DEVELOPED)
    line = (
        f"`--sample` takes all {len(order)} programs in one random order (seed {SEED}). {len(ids)} of it stand so far, "
        f"without a gap: they are a fair random sample of the {len(order)}. {len(ours) - len(ids)} more stand out of "
        f"that order. Families were run whole first, as the list has them ({whole}): those are no random sample, "
        "and what was not repaired there had remedies written for it, so that the last row says more of them than of "
        "programs in general."
    )
    return "\n\n".join([line, table(heads, [row(name, part)[:-1] for name, part in rows.items()])])


def _developed(one: Repair) -> bool:
    return one.family in DEVELOPED


def families(result: Result) -> str:
    """What headwater did, by kind of network."""
    own = by([one for one in within_reach(result) if one.arm == "headwater"], "family")
    heads = ["family", "proven", "mean gain, points", "gain below 1 point", "harmful"]
    rows = []
    for family, part in own.items():
        adopted = [one for one in part if one.after]
        counts = [sum(map(holds, adopted)) for holds in (is_small, harmful)]
        gains = mean([one.gain for one in adopted])
        rows.append([f"`{family}`", f"{len(adopted)} of {len(part)}", gains, *map(str, counts)])
    return table(heads, rows)


def beyond(result: Result) -> str:
    """What no remedy undoes, why, and what became of those that one could lessen."""
    faulty = [program for program in programs(tuple(FAMILIES)).values() if program.fault]
    counts = {cause: sum(p.fault.causes[0] == cause for p in faulty if p.fault) for cause in OUT_OF_REACH}
    rows = [[f"`{cause}`", str(counts[cause]), reason] for cause, reason in OUT_OF_REACH.items()]
    parts = [table(["planted", "programs", "why no remedy undoes it"], rows)]
    known = programs(tuple(FAMILIES))
    tried = [
        one
        for one in repairs_of(result)
        if one.arm == "headwater" and one.program in known and lessened(known[one.program])
    ]
    if tried:
        adopted = [one for one in tried if one.after]
        parts.append(
            f"Of those, {sum(map(lessened, faulty))} are to learn from too few samples, which regularisation can "
            f"lessen (measured by itself in [log.md](log.md)). Of {len(tried)} that were tried, "
            f"{len(adopted)} got a proven repair"
            + (f", with a mean gain of {mean([one.gain for one in adopted])} points" if adopted else "")
            + f"; harmful: {sum(map(harmful, adopted))}."
        )
    return "\n\n".join(parts)


def is_small(one: Repair) -> bool:
    """Whether an adopted repair gains less than a point."""
    return one.gain < SMALL_GAIN


def row(arm: str, repairs: list[Repair]) -> list[str]:
    """One arm, or one part of what an arm was given."""
    adopted = [one for one in repairs if one.after]
    gains = [one.gain for one in adopted]
    return [
        LABELS.get(arm, arm),
        str(len(repairs)),
        share(repairs, lambda one: bool(one.after)),
        mean(gains),
        share(adopted, is_small),
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
    own = [one for one in within_reach(result) if one.arm == "headwater"]
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
    own = [one for one in within_reach(result) if one.arm == "headwater"]
    parts = {
        "Not repaired": [f"`{one.program}` ({one.failure or one.verdict})" for one in own if not one.after],
        "Adopted, and below 1 point on fresh seeds": [
            f"`{one.program}` ({' + '.join(one.remedies)}, {one.gain:+.1f})"
            for one in own
            if one.after and is_small(one)
        ],
        "Harmful": [f"`{one.program}` ({' + '.join(one.remedies)}, {one.gain:+.1f})" for one in own if harmful(one)],
    }
    return "\n\n".join(f"**{name}**: {', '.join(found) or 'none'}." for name, found in parts.items())
