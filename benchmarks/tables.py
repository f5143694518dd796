"""Results as Markdown, and as the page docs/benchmarks.md: prose of ours around tables that are only ever generated.

python -m benchmarks.tables
"""

import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.options import RESULTS, load, say

PAGE = RESULTS.parent / "benchmarks.md"
PLAIN_SIZES = (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 25)  # of float32 on the page; the JSON has the rest

Result = dict[str, Any]

MEMORY = {
    "loaded_mib": "loaded once per process, MiB",
    "peak_mib": "peak of the training, MiB",
    "growth_kib_per_step": "resident set gains per step, KiB",
    "torch_peak_mib": "torch's peak within a step, MiB",
    "torch_allocations": "torch's allocations in a step",
    "python_peak_mib": "Python's peak, MiB",
    "python_kib_per_step": "Python gains per step, KiB",
}


def main() -> None:
    """Rewrite what stands between the page's markers from the results beside it, and draw the plot anew.

    A part without results is left as it is.
    """
    from benchmarks.plot import draw  # brings matplotlib, which no table needs

    text = PAGE.read_text()
    for name, render in SECTIONS.items():
        if result := load(RESULTS, name):
            text = between(text, name, render(result))
    PAGE.write_text(text)
    if result := load(RESULTS, "overhead"):
        draw(result, RESULTS / "overhead.svg")
    say(f"written: {PAGE}")


def between(text: str, name: str, content: str) -> str:
    """The page with other content between the markers of that name.

    Raises:
        ValueError: If the page has no such markers.
    """
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE} has no lines {begin!r} and {end!r}: put them where the tables should go.")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", text)


def overhead_page(result: Result) -> str:
    """All cases: the one table to look at, then each in detail."""
    cases = result["cases"].values()
    return "\n\n".join([summary_table(list(cases)), *(overhead_table(case) for case in cases)])


def summary_table(cases: list[Result]) -> str:
    """Extra time of each arm on each case."""
    named: dict[str, str] = {}
    for case in cases:
        named |= {key: row["label"] for key, row in case.get("every_step", {}).items()}
        named |= {key: row["label"] for key, row in case.get("auto", {}).items() if key == "auto"}
    heads = ["extra time per step", *(case["label"].split(", ")[0] for case in cases)]
    return table(heads, ([label, *(short(case, key) for case in cases)] for key, label in named.items()))


def short(case: Result, key: str) -> str:
    """One arm on one case, in a cell."""
    row = case.get("auto" if key == "auto" else "every_step", {}).get(key)
    if row is None:
        return "-"
    return "crashes" if row["crash"] else percent(row["total_pct" if key == "auto" else "overhead_pct"])


def overhead_table(case: Result) -> str:
    """One case: every arm with its spread, the default sampling, and the machine."""
    parts = [f"### {case['label']}", machine_line(case)]
    if rows := case.get("every_step"):
        parts.append(every_step_table(rows))
    if rows := case.get("auto"):
        parts.append(auto_table(rows))
    return "\n\n".join(parts)


def every_step_table(rows: dict[str, Result]) -> str:
    """Arms on every step: median ratio, quartiles over the rounds, milliseconds."""
    heads = ["every step", "what it looks at", "extra time", "quartiles", "bare ms", "extra ms", "rounds"]
    return table(heads, map(every_step_row, rows.values()))


def every_step_row(row: Result) -> list[str]:
    """One arm."""
    start = [row["label"], cell(row["measures"])]
    if row["crash"]:
        return [*start, f"crashes: {cell(row['crash'])}", "", "", "", ""]
    spread = " to ".join(percent(value) for value in row["quartiles_pct"])
    if row["sampled"] is not None and row["sampled"] < row["steps"]:  # it has given up on the way: no cost of watching
        spread += f"; measured only {row['sampled']} of {row['steps']} steps"
    return [
        *start,
        percent(row["overhead_pct"]),
        spread,
        number(row["bare_ms"]),
        number(row["extra_ms"]),
        str(row["rounds"]),
    ]


def auto_table(rows: dict[str, Result]) -> str:
    """The default sampling: total time, the sampled steps alone, and what headwater says itself."""
    heads = ["default sampling", "extra time from attaching on", "after the first tenth", "sampled steps alone"]
    heads += ["its own figure", "steps sampled"]
    return table(heads, map(auto_row, rows.values()))


def auto_row(row: Result) -> list[str]:
    """One arm."""
    if row["crash"]:
        return [row["label"], f"crashes: {cell(row['crash'])}", "", "", "", ""]
    names = ("from_start", "total", "neighbours", "own")
    figures = ["" if row[f"{name}_pct"] is None else percent(row[f"{name}_pct"]) for name in names]
    sampled = f"of {row['steps']}" if row["sampled"] is None else f"{row['sampled']} of {row['steps']}"
    return [row["label"], *figures, sampled]


def kernel_table(result: Result) -> str:
    """The kernel beside one sum, eight reductions and the memory."""
    heads = ["tensor", "threads", "headwater ms", "`sum()` ms", "8 reductions ms", "reading it ms"]
    heads += ["headwater / `sum()`", "8 reductions / headwater", "headwater / reading it"]
    rows = [row for row in result["rows"] if row["dtype"] != "float32" or row["elements"] in PLAIN_SIZES]
    parts = [machine_line(result), table(heads, map(kernel_row, rows))]
    if result["crossover"]:
        parts.append(crossover_table(result["crossover"]))
    return "\n\n".join(parts)


def kernel_row(row: Result) -> list[str]:
    """One tensor, one number of threads."""
    ours = row["ledger_ms"]
    columns = [number(row[f"{name}_ms"]) for name in ("ledger", "sum", "reductions", "read")]
    ratios = [ours / row["sum_ms"], row["reductions_ms"] / ours, ours / row["read_ms"]]
    return [f"{row['dtype']}, {size(row['elements'])}", str(row["threads"]), *columns, *(f"{r:.3g}×" for r in ratios)]


def crossover_table(rows: list[Result]) -> str:
    """From which size on threads help."""
    heads = ["float32 elements", "one thread µs", "all threads µs"]
    return table(heads, map(crossover_row, rows))


def crossover_row(row: Result) -> list[str]:
    """One size."""
    return [f"{row['elements']:,}", number(1e3 * row["alone_ms"]), number(1e3 * row["shared_ms"])]


def scaling_table(result: Result) -> str:
    """One row for each network, by what was varied."""
    heads = ["depth", "width", "batch", "bare ms", "every step", "extra ms", "µs per site", "noise", 'every="auto"']
    tables = [
        f"Varied: {varied}\n\n" + table(heads, (scaling_row(r) for r in result["rows"] if r["varied"] == varied))
        for varied in dict.fromkeys(row["varied"] for row in result["rows"])
    ]
    return "\n\n".join([machine_line(result), *tables])


def scaling_row(row: Result) -> list[str]:
    """One network."""
    ours, auto = row["headwater"], row["auto"]
    start = [f"{row['depth']:,}", f"{row['width']:,}", f"{row['batch']:,}", number(row["bare"]["bare_ms"])]
    noise = percent(row["bare"]["overhead_pct"])
    sampled = f"crashes: {cell(auto['crash'])}" if auto["crash"] else percent(auto["neighbours_pct"] or 0.0)
    if ours["crash"]:
        return [*start, f"crashes: {cell(ours['crash'])}", "", "", noise, sampled]
    extra = [percent(ours["overhead_pct"]), number(ours["extra_ms"]), number(row["per_site_us"])]
    return [*start, *extra, noise, sampled]


def memory_page(result: Result) -> str:
    """All cases."""
    return "\n\n".join(memory_table(case) for case in result["cases"].values())


def memory_table(case: Result) -> str:
    """One case: bare, watched, and the difference; means over the runs."""
    parts = [f"### {case['label']}, {case['steps']} steps", machine_line(case)]
    crashes = {run["crash"] for runs in case["runs"].values() for run in runs if run["crash"]}
    if crashes:
        return "\n\n".join([*parts, *(f"crashes: {cell(crash)}" for crash in sorted(crashes))])
    rows = []
    for key, label in MEMORY.items():
        bare, watched = (statistics.fmean(run[key] for run in case["runs"][arm]) for arm in ("bare", "headwater"))
        rows.append([label, number(bare), number(watched), signed(watched - bare)])
    return "\n\n".join([*parts, table(["memory", "bare loop", "headwater, every step", "more"], rows)])


def machine_line(result: Result) -> str:
    """The machine in one line, and a warning where the figures are not meant to be read."""
    m = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    line = (
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, {m['cpu_capability']}; threads: {m['threads']}; "
        f"torch {m['torch']}, Python {m['python']}, {m['system']}; headwater {m['headwater']} ({m['commit']}); "
        f"{versions}; "
        f"{m['date']}, load before the start {m['load_1_min']}."
    )
    return f"**A trial run with a few steps; the figures mean nothing.** {line}" if result.get("quick") else line


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(text: str) -> str:
    """Text from elsewhere that must not end a cell or become HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def percent(value: float) -> str:
    """With its sign; decimals where they say something."""
    return f"{value:+,.0f} %" if abs(value) >= 99.95 else f"{value:+.1f} %"


def number(value: float) -> str:
    """Three digits, or whole where there are more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def signed(value: float) -> str:
    """A number with its sign."""
    return ("+" if value >= 0 else "") + number(value)


def size(elements: int) -> str:
    """A power of two, as people say it."""
    return f"{elements >> 20} M" if elements >= 1 << 20 else f"{elements >> 10} K"


SECTIONS: dict[str, Callable[[Result], str]] = {
    "overhead": overhead_page,
    "kernels": kernel_table,
    "scaling": scaling_table,
    "memory": memory_page,
}


if __name__ == "__main__":
    main()
