"""Gradient and likeness of inputs over a thousand layers before any training, and ten thousand layers in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Colours of Okabe and Ito, told apart by the colour-blind; what trains is drawn with a full line.
COLOURS = {
    "relu": "#999999",
    "relu-he": "#e69f00",
    "relu-orthogonal": "#d55e00",
    "relu-lsuv": "#cc79a7",
    "relu-mirrored": "#0072b2",
    "sigmoid-tailored": "#009e73",
}
TRAINS = ("relu-mirrored", "sigmoid-tailored")
LEAST = 1e-12  # where the axis of gradients ends: below, nothing reaches a weight
APART = 1e-7  # 1 - |cos| in float32 has no smaller step


def draw(parts: dict[str, Any], path: Path, labels: dict[str, str]) -> None:
    """Write the picture.

    Args:
        parts: Of the benchmark's results.
        path: Where to, as SVG.
        labels: What the parts are called.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "headwater", "font.size": 9}):
        figure, (gradients, likeness, losses) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
        for name in (name for name in COLOURS if name in parts):
            rows = parts[name]["before"]
            line = {
                "color": COLOURS[name],
                "linestyle": "-" if name in TRAINS else "--",
                "label": labels[name].replace("*", "").replace("orthogonal × √2", "orthogonal"),
            }
            layers = [row["layer"] for row in rows]
            gradients.plot(layers, [max(row["gradient_rms"], LEAST) for row in rows], **line)
            likeness.plot(layers, [max(1.0 - row["abs_cosine"], APART) for row in rows], **line)
        for run in parts.get("deep", {}).get("runs", ()):
            losses.plot(range(1, len(run["losses"]) + 1), run["losses"], color=COLOURS["relu-mirrored"], linewidth=1)
        gradients.set(yscale="log", xlabel="layer", title="rms of the gradient before training")
        likeness.set(yscale="log", xlabel="layer", title="1 - mean |cos| between inputs, before training")
        losses.set(xlabel="step", ylim=(0, None), title="loss of 10,000 layers in training")
        if gradients.lines:
            figure.legend(*gradients.get_legend_handles_labels(), loc="outside lower left", ncols=6, frameon=False)
        for axes in (gradients, likeness, losses):
            axes.title.set_fontsize(9)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
