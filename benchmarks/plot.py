"""The overhead figures as one picture: a row of bars for each case, on a logarithmic scale."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

OURS, THEIRS, FAINT = "#0b6e99", "#b0b7bf", "#6b7280"
LEAST = 0.5  # percent: where the scale begins; what is below cannot be told from noise


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the picture.

    Args:
        result: The overhead results, all cases.
        path: Where to, as SVG.
    """
    cases = [case for case in result["cases"].values() if "every_step" in case]
    # Text stays text and nothing in the file depends on the day: a new picture differs only where figures do.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "headwater", "font.family": "sans-serif", "font.size": 9}
    with plt.rc_context(settings):
        figure, all_axes = plt.subplots(
            1, len(cases), figsize=(3.6 * len(cases) + 1.6, 3.4), sharey=False, squeeze=False, layout="constrained"
        )
        for axes, case in zip(all_axes[0], cases, strict=True):
            panel(axes, case)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def panel(axes: Axes, case: dict[str, Any]) -> None:
    """One case: a bar for each arm, the cheapest on top."""
    bars = sorted(values(case), key=lambda bar: -1.0 if bar[1] is None else -bar[1])
    known = [value for _, value in bars if value is not None]
    right = 4 * max([*known, 10.0])
    for place, (label, value) in enumerate(bars):
        colour = OURS if label.startswith("headwater") else THEIRS
        if value is None:
            axes.text(LEAST * 1.1, place, "crashes", va="center", color=FAINT, style="italic")
            continue
        axes.barh(place, max(value, LEAST) - LEAST, left=LEAST, color=colour, height=0.65)
        text = f"{value:+,.0f} %" if abs(value) >= 10 else f"{value:+.1f} %"
        axes.text(max(value, LEAST) * 1.12, place, text, va="center", color=colour if colour == OURS else FAINT)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars])
    axes.set_xscale("log")
    axes.set_xlim(LEAST, right)
    axes.set_title(case["label"].split(", ")[0], loc="left", fontweight="bold")
    axes.set_xlabel("extra time per step, % (logarithmic)")
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def values(case: dict[str, Any]) -> list[tuple[str, float | None]]:
    """Label and percentage of each arm but the bare loop; ``None`` for one that crashes."""
    bars = [(row["label"], row.get("overhead_pct")) for key, row in case["every_step"].items() if key != "bare"]
    auto = case.get("auto", {}).get("auto")
    return bars if auto is None else [*bars, (auto["label"], auto.get("total_pct"))]
