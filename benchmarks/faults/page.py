"""The results as Markdown, and as the page docs/faults.md: prose of ours around tables that are only ever generated."""

from __future__ import annotations

import math
from collections import Counter
from itertools import starmap
from typing import Any

from benchmarks.faults.diagnosers import DIAGNOSERS
from benchmarks.faults.first_run import SETS, HeldOutSet, group_of, rules_of
from benchmarks.faults.metrics import Row, by
from benchmarks.faults.program import Program
from benchmarks.options import RESULTS, say
from benchmarks.tables import between, machine_line, table

PAGE = RESULTS.parent / "faults.md"
OURS = "headwater"
LABELS = {name: diagnoser.label for name, diagnoser in DIAGNOSERS.items()} | {
    "grad_flow_fitted": "plot_grad_flow, limit from the other families"
}

GROUPS = {
    "made_with": "Families the rules were made with",
    "held_out": "Held-out families, with the rules as they are now",
    "held_out_second": "Second set of held-out families, with the rules as they are now",
    "held_out_third": "Third set of held-out families, with the rules as they are now",
    "held_out_fourth": "Fourth set of held-out families, with the rules as they are now",
    "held_out_fifth": "Fifth set of held-out families, with the rules as they are now",
    "held_out_sixth": "Sixth set of held-out families, with the rules as they are now",
}
TITLES = {
    "held_out": "Held-out families",
    "held_out_second": "Second set of held-out families",
    "held_out_third": "Third set of held-out families",
    "held_out_fourth": "Fourth set of held-out families",
    "held_out_fifth": "Fifth set of held-out families",
    "held_out_sixth": "Sixth set of held-out families",
}
MARKS = {
    "held_out": " (held out)",
    "held_out_second": " (held out, second set)",
    "held_out_third": " (held out, third set)",
    "held_out_fourth": " (held out, fourth set)",
    "held_out_fifth": " (held out, fifth set)",
    "held_out_sixth": " (held out, sixth set)",
}
HEADS = ["", "faults detected", "symptom right", "cause right", "place right"]
HEADS += ["false alarms per 100 healthy runs", "no opinion", "seconds per run"]
FAMILY_HEADS = ["family", "runs faulty / healthy", "detected", "symptom", "cause", "place", "false alarms per 100"]

Result = dict[str, Any]


def write(result: Result, rows: list[Row], verified: Result, firsts: dict[str, Result]) -> None:
    """Rewrite what stands between the page's markers.

    Args:
        result: The scores.
        rows: All answers.
        verified: What the verification found; that part stays as it is without.
        firsts: The scores of the first run of each set of held-out families; the same.
    """
    from benchmarks.faults.families import programs  # brings torch, which no table needs

    parts = {
        "faults": table_of(result),
        "families": families_table(result),
        "kinds": symptoms_table(rows, programs()),
        "misses": misses(rows, programs()),
    }
    parts |= {SETS[key].group: held_out_table(SETS[key], first, result) for key, first in firsts.items() if first}
    if verified:
        parts["verified"] = verified_table(verified)
    rewrite(parts)


def write_first_run(held_out: HeldOutSet, first: Result, now: Result) -> None:
    """Rewrite the part about one set of held-out families alone, from its first run and the last run of all."""
    rewrite({held_out.group: held_out_table(held_out, first, now)})


def write_drawn(result: Result) -> None:
    """Rewrite the part about the programs that were drawn alone."""
    rewrite({"drawn": drawn_table(result)})


def write_verified(verified: Result) -> None:
    """Rewrite the part about what the verification found alone."""
    rewrite({"verified": verified_table(verified)})


def rewrite(parts: dict[str, str]) -> None:
    """Put new content between the markers of those names."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = between(text, name, content)
    PAGE.write_text(text, encoding="utf-8")
    say(f"written: {PAGE}")


def table_of(result: Result) -> str:
    """The tables to look at: one of the families the rules were made with, one of those held out."""
    line = f"{result['programs']} programs, {result['seeds']} seeds, in {result['minutes']:.0f} minutes."
    if result.get("kept"):
        line += " headwater alone was asked; the others' answers are those of their last runs, on other machines."
    parts = [machine_line(result), line]
    for group, scores in result["groups"].items():
        parts += [f"**{GROUPS[group]}**: {runs_of(scores)}.", table(HEADS, starmap(score_row, scores.items()))]
    return "\n\n".join(parts)


def drawn_table(result: Result) -> str:
    """Everybody about the programs that were drawn, all families together."""
    line = f"{result['programs']} programs drawn from all families alike, {result['seeds']} seeds of each, "
    line += f"in {result['minutes']:.0f} minutes: {runs_of(result['scores'])}."
    return "\n\n".join([machine_line(result), line, table(HEADS, starmap(score_row, result["scores"].items()))])


def runs_of(scores: Result) -> str:
    """How many runs stand behind each row."""
    counts = next(iter(scores.values()))
    return f"{counts['detected']['runs']} faulty and {counts['false_alarms']['runs']} healthy runs of each diagnoser"


def held_out_table(held_out: HeldOutSet, first: Result, now: Result) -> str:
    """What was said when the rules met a set of held-out families first, and what is said now."""
    commits = ", ".join(dict.fromkeys(rules_of(held_out, first).values()))
    group = held_out.group
    scores, later = first["groups"][group], now.get("groups", {}).get(group, {})
    cells = []
    for name in [name for name in scores if name in DIAGNOSERS and name != "optimist"]:
        cells.append([*score_row(name, scores[name])[:1], "first run", *score_row(name, scores[name])[1:]])
        if name in later:
            cells.append(["", "now", *score_row(name, later[name])[1:]])
    families = [family_row(family, ours) for family, ours in first["families"][OURS].items()]
    return "\n\n".join(
        [
            machine_line(first),
            f"**{TITLES[group]}, first run, rules as of commit {commits}**: {runs_of(scores)}.",
            table([HEADS[0], "when", *HEADS[1:]], cells),
            "headwater's first run by family:",
            table(FAMILY_HEADS, families),
        ]
    )


def score_row(name: str, score: Result) -> list[str]:
    """One diagnoser."""
    shares = [percent(score[part]) for part in ("detected", "symptom", "cause", "site")]
    silent = score["silent"]["hits"]
    return [LABELS[name], *shares, percent(score["false_alarms"], ""), str(silent or "-"), f"{score['seconds']:.2f}"]


def percent(share: Result, unit: str = " %") -> str:
    """A share with its interval, in hundredths."""
    if not share["runs"]:
        return "-"
    low, high = (100 * end for end in share["interval"])
    return f"{100 * share['share']:.1f}{unit} ({low:.1f} to {high:.1f})"


def families_table(result: Result) -> str:
    """Headwater and the best of the others on each family."""
    cells = []
    for family, ours in result["families"][OURS].items():
        others = {name: part[family] for name, part in result["families"].items() if name != OURS and family in part}
        cells.append([*family_row(family, ours), best(others)])
    return table([*FAMILY_HEADS, "detected less false alarms, best other"], cells)


def family_row(family: str, ours: Result) -> list[str]:
    """Headwater on one family."""
    shares = [short(ours[part]) for part in ("detected", "symptom", "cause", "site")]
    runs = f"{ours['detected']['runs']} / {ours['false_alarms']['runs']}"
    return [family + MARKS.get(group_of(family), ""), runs, *shares, short(ours["false_alarms"], "")]


def short(share: Result, unit: str = " %") -> str:
    """A share without its interval."""
    return f"{100 * share['share']:.0f}{unit}" if share["runs"] else "-"


def best(others: dict[str, Result]) -> str:
    """Who warns of faults more than of nothing, and by how much."""

    def margin(name: str) -> float:
        return others[name]["detected"]["share"] - others[name]["false_alarms"]["share"]

    name = max(others, key=margin)
    return f"{100 * margin(name):.0f} points ({LABELS[name]})"


def symptoms_table(rows: list[Row], known: dict[str, Program]) -> str:
    """What headwater does with each planted symptom."""
    own = [row for row in rows if row.diagnoser == OURS and row.faulty]
    kinds: dict[str, list[Row]] = {}
    for row in own:
        fault = known[row.program].fault
        assert fault is not None
        kinds.setdefault(f"`{fault.symptoms[0]}`, by `{fault.causes[0]}`", []).append(row)
    cells = [
        [
            kind,
            str(len(by(part, "program"))),
            of(part, "alarm"),
            of(part, "symptom_right"),
            of(part, "cause_right"),
            names(Counter(row.symptom or ("no opinion" if row.crash or row.undecided else "nothing") for row in part)),
        ]
        for kind, part in sorted(kinds.items())
    ]
    heads = ["planted", "programs", "detected", "symptom right", "cause right", "put first"]
    return table(heads, cells)


def of(rows: list[Row], what: str) -> str:
    """So many of so many."""
    return f"{sum(bool(getattr(row, what)) for row in rows)} of {len(rows)}"


def names(counts: Counter[str]) -> str:
    """Most frequent first."""
    return ", ".join(f"{name} {count}" if len(counts) > 1 else name for name, count in counts.most_common())


def misses(rows: list[Row], known: dict[str, Program]) -> str:
    """Programs that headwater got wrong, by name."""
    own = [row for row in rows if row.diagnoser == OURS]
    missed = Counter(row.program for row in own if row.faulty and not row.alarm)
    wrong = Counter(row.program for row in own if row.faulty and row.alarm and not row.cause_right)
    cried = Counter(row.program for row in own if not row.faulty and row.alarm)
    lines = [
        f"**Missed** (seeds): {listed(missed)}.",
        f"**Detected, with another cause first**: {listed(wrong)}.",
        f"**False alarms**: {listed(cried)}.",
    ]
    return "\n\n".join(lines)


def listed(counts: Counter[str]) -> str:
    """Programs with the number of seeds."""
    return ", ".join(f"`{name}` ({count})" for name, count in counts.items()) or "none"


def verified_table(verified: Result) -> str:
    """How well the programs are what they say, per family."""
    families: dict[str, list[Result]] = {}
    for id_, facts in verified["programs"].items():
        families.setdefault(id_.partition("/")[0], []).append(facts)
    cells = []
    for family, all_facts in families.items():
        healthy = [facts for facts in all_facts if "twin" not in facts]
        faulty = [facts for facts in all_facts if "twin" in facts]
        above = [min(facts["metrics"]) - facts["chance"] for facts in healthy]
        lost = [facts["harm"] / (facts["twin_mean"] - facts["chance"]) for facts in faulty]
        held = sum(facts["holds"] for facts in all_facts)
        cells.append(
            [
                family,
                str(len(healthy)),
                f"{least(above):.2f}",
                str(len(faulty)),
                f"{100 * least(lost):.0f} %",
                f"{held} of {len(all_facts)}",
            ]
        )
    heads = ["family", "healthy", "worst seed above chance", "faulty", "least harm, of what the twin learns", "hold"]
    return table(heads, cells)


def least(values: list[float]) -> float:
    """The smallest, NaN of none."""
    return min(values, default=math.nan)
