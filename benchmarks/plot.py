"""The overhead figures as one picture: a panel for each case, on a logarithmic scale."""

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

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
            1, len(cases), figsize=(4.6 * len(cases), 3.2), sharey=False, squeeze=False, layout="constrained"
        )
        for axes, case in zip(all_axes[0], cases, strict=True):
            panel(axes, case)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def panel(axes: Axes, case: dict[str, Any]) -> None:
    """One case: a dot for each arm, the cheapest on top."""
    dots = sorted(values(case), key=lambda dot: -math.inf if dot[1] is None else -dot[1])
    known = [value for _, value in dots if value is not None]
    right = 20 * max([*known, 10.0])  # room for the last dot's figure
    for place, (label, value) in enumerate(dots):
        colour = OURS if label.startswith("headwater") else THEIRS
        if value is None:
            axes.text(LEAST * 1.1, place, "crashes", va="center", color=FAINT, style="italic")
            continue
        # A dot, not a bar: on a logarithmic scale a bar's length has no meaning.
        axes.plot([LEAST, max(value, LEAST)], [place, place], color=colour, linewidth=1)
        axes.plot(max(value, LEAST), place, "o", color=colour, markersize=6, clip_on=False)
        text = f"{value:+,.0f} %" if abs(value) >= 10 else f"{value:+.1f} %"
        axes.text(max(value, LEAST) * 1.3, place, text, va="center", color=colour if colour == OURS else FAINT)
    axes.set_yticks(range(len(dots)), [label for label, _ in dots])
    axes.set_xscale("log")
    axes.set_xlim(LEAST, right)
    axes.set_xticks([1, 10, 100, 1000])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f} %")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(case["label"].split(", ")[0], loc="left", fontweight="bold")
    axes.set_xlabel("extra time per step (logarithmic)")
    axes.set_ylim(-0.7, len(dots) - 0.3)
    axes.tick_params(length=0, which="both")
    axes.tick_params(axis="y", pad=8)
    axes.spines[["top", "right", "left"]].set_visible(False)


def values(case: dict[str, Any]) -> list[tuple[str, float | None]]:
    """Label and percentage of each arm but the bare loop; ``None`` for one that crashes."""
    dots = [(row["label"], row.get("overhead_pct")) for row in case["every_step"].values()]
    auto = case.get("auto", {}).get("auto")
    return dots if not auto else [*dots, (auto["label"], auto.get("total_pct"))]
