"""Xavier is wrong for ReLU: half of each layer is switched off, the other half is not made larger, values head for 0.

Ten layers of 500 units, as in Stanford's CS231n, on inputs of N(0, 1). Each layer halves the mean square, so that the
rms is multiplied by √(1/2) (He et al. 2015, arXiv:1502.01852, section 2.2).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.naive_init import DEEP as LAYERS
from headwater.lessons.naive_init import WIDE as WIDTH
from headwater.lessons.naive_init import Activations, activations, factor_per_layer, histograms, over_networks
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory import second_moment

SEEDS = tuple(range(16))
EXPECTED, TOLERANCE = 0.707, 0.02
LOST = 0.9  # of the first layer's rms, at the tenth
SHOWN = (1, 5, 10)
TOP = 3.0  # of the histograms' axis
T = Texts("xavier-relu")


def experiment() -> Outcome:
    """The same ten layers with ReLU and with tanh."""
    nets = {phi: [activations(phi, "init.xavier", LAYERS, WIDTH, seed) for seed in SEEDS] for phi in ("relu", "tanh")}
    factors = [factor_per_layer(net.rms) for net in nets["relu"]]
    relu = over_networks([net.rms for net in nets["relu"]])
    means = over_networks([net.mean for net in nets["relu"]])
    theory = math.sqrt(second_moment("relu"))
    lost = [1 - net.rms[-1] / net.rms[0] for net in nets["relu"]]
    checks = (
        T.over_seeds("factor", factors, low=EXPECTED - TOLERANCE, high=EXPECTED + TOLERANCE),
        T.over_seeds("lost", lost, low=LOST),
        T.over_seeds("tanh", [_ratio(a, b) for a, b in zip(nets["tanh"], nets["relu"], strict=True)], low=1.0),
    )
    values = {
        "layers": LAYERS,
        "factor": statistics.fmean(factors),
        "theory": theory,
        "first": relu[0],
        "last": relu[-1],
        "mean_last": means[-1],
        "tanh_last": over_networks([net.rms for net in nets["tanh"]])[-1],
        "deep": theory**50,
        "default": theory / math.sqrt(3),
    }
    reference = [log10(relu[0] * theory**i) for i in range(LAYERS)]
    curves = (
        T.curve("theory", range(1, LAYERS + 1), reference, reference=True),
        *(levels(T, phi, [net.rms for net in row]) for phi, row in nets.items()),
    )
    by_layer = Panel(T("panel.rms"), T.axis("layer"), T.axis("activation_rms", log10=True), curves)
    shown = histograms(T, "layer", nets["relu"][0].values, 0.0, TOP, SHOWN)
    columns = (T("column.layer"), T("column.mean"), T("column.spread"), T("column.rms"))
    spreads = over_networks([net.spread for net in nets["relu"]])
    rows = tuple((i + 1, means[i], spreads[i], relu[i]) for i in range(LAYERS))
    pictures = (Picture(T("summary", **values), (*shown, by_layer)),)
    return Outcome(checks, values, pictures, (Table(T("table"), columns, rows),), SEEDS)


def levels(t: Texts, key: str, rows: Sequence[Sequence[float]]) -> Curve:
    """log₁₀ by layer, means over networks with their intervals."""
    by_layer = [[log10(value) for value in row] for row in zip(*rows, strict=True)]
    low, high = zip(*map(t_interval, by_layer), strict=True)
    means = [statistics.fmean(row) for row in by_layer]
    return t.curve(key, range(1, len(by_layer) + 1), means, low=low, high=high)


def _ratio(tanh: Activations, relu: Activations) -> float:
    """How much more tanh has left at the last layer."""
    return tanh.rms[-1] / relu.rms[-1]


LESSON = Lesson("xavier-relu", experiment, seconds=3.0)
