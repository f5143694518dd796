"""Through many sigmoid layers the early gradient becomes tiny, by the same factor at each layer.

The gradient is measured by the probes at every layer, and its slope held against theory: √χ₁ at the fixed point of the
weights' own variances (Schoenholz et al. 2017, arXiv:1611.01232).
"""

from __future__ import annotations

import numpy as np

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.records.message import Value
from headwater.records.picture import Panel, Picture, Table
from headwater.theory import depth_scales

DEPTHS = (2, 5, 10, 20, 30, 50)
WIDTH = 200
BATCH = 256
TOLERANCE = 0.1  # of the decades lost per layer
INITS = {"default": (None, 1 / 3, 1 / (3 * WIDTH)), "xavier": ("init.xavier", 1.0, 0.0)}
"""Remedy, σ_w² and σ_b²: ``nn.Linear`` draws weights and biases of variance 1 / (3 fan_in)."""


def experiment() -> Outcome:
    """Networks of each depth, in both initialisations, on a batch of digits."""
    t = Texts("vanishing")
    data = digits()
    batch = data.x[:BATCH], data.y[:BATCH]
    checks, panels, rows = [], [], []
    values: dict[str, Value] = {}
    for name, (remedy, sigma_w2, sigma_b2) in INITS.items():
        factor = depth_scales("sigmoid", sigma_w2, sigma_b2).chi_1 ** 0.5
        curves = []
        for depth in DEPTHS:
            flow = check(chain(deep(depth, WIDTH), "sigmoid", remedy), batch, cross_entropy).flow
            gradients = [row.activation_grad for row in flow.sites if row.site.kind == "affine" and row.activation_grad]
            levels = [moments.log10_rms for moments in gradients if moments.log10_rms is not None]
            curves.append(t.curve("depth", range(1, depth + 1), levels, depth=depth))
            rows.append((t(f"init.{name}"), depth, gradients[0].rms, gradients[0].norm))
        measured = _decades_per_layer(levels)
        expected = -log10(factor)
        checks.append(t.within(f"slope_{name}", measured, (1 - TOLERANCE) * expected, (1 + TOLERANCE) * expected))
        values |= {f"factor_{name}": factor, f"measured_{name}": 10**-measured}
        reference = [levels[-1] - expected * (DEPTHS[-1] - 1 - i) for i in range(DEPTHS[-1])]
        theory = t.curve("theory", range(1, DEPTHS[-1] + 1), reference, reference=True)
        panels.append(Panel(t(f"init.{name}"), t.axis("layer"), t.axis("gradient_rms", log10=True), (*curves, theory)))
        if name == "xavier":
            norm = gradients[0].norm or 0.0
            checks.append(t.within("true_norm", log10(norm), -40.0, -20.0))
            values |= {"first_norm": norm, "depth": DEPTHS[-1], "decades": measured * (DEPTHS[-1] - 1)}
    columns = (t("column.init"), t("column.depth"), t("column.rms"), t("column.norm"))
    return Outcome(
        checks=tuple(checks),
        values=values,
        pictures=(Picture(t("summary", **values), tuple(panels)),),
        tables=(Table(t("table"), columns, tuple(rows)),),
    )


def _decades_per_layer(levels: list[float]) -> float:
    """Decades lost from a layer to the one before it, away from both ends."""
    inner = levels[2:-2]
    return float(np.polyfit(range(len(inner)), inner, 1)[0])


LESSON = Lesson("vanishing", experiment, seconds=3.0)
