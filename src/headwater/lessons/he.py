"""N(0, 1)/√(n/2) holds ReLU steady: layer ten looks like layer one, and so does layer fifty.

He et al. 2015, arXiv:1502.01852, section 2.2: variance 2/n makes up for the half that ReLU switches off. Ten layers as
in Stanford's CS231n, then fifty.
"""

from __future__ import annotations

import math
import statistics

from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.naive_init import DEEP as LAYERS
from headwater.lessons.naive_init import WIDE as WIDTH
from headwater.lessons.naive_init import activations, factor_per_layer, histograms, over_networks
from headwater.lessons.xavier_relu import levels
from headwater.records.picture import Panel, Picture, Table
from headwater.theory import log_length_variance, mean, variance

DEEPEST = 50
SEEDS = tuple(range(16))
DEEPEST_SEEDS, DEEPEST_SAMPLES = SEEDS[:8], 64
TOLERANCE = 0.03
KEPT = 0.5  # of the first layer's mean and spread, at the tenth at the least
NARROW = 64  # units
SHOWN = (1, 5, 10)
TOP = 3.0  # of the histograms' axis
INITS = {"he": "init.he", "xavier": "init.xavier"}
T = Texts("he")


def experiment() -> Outcome:
    """Ten and fifty ReLU layers, with Xavier's weights beside them."""
    ten = [activations("relu", "init.he", LAYERS, WIDTH, seed) for seed in SEEDS]
    fifty = {
        name: [activations("relu", init, DEEPEST, WIDTH, seed, DEEPEST_SAMPLES).rms for seed in DEEPEST_SEEDS]
        for name, init in INITS.items()
    }
    factors = {LAYERS: [factor_per_layer(net.rms) for net in ten], DEEPEST: list(map(factor_per_layer, fifty["he"]))}
    low, high = 1 - TOLERANCE, 1 + TOLERANCE
    checks = (
        T.over_seeds("ten", factors[LAYERS], low=low, high=high),
        T.over_seeds("fifty", factors[DEEPEST], low=low, high=high),
        T.over_seeds("mean", [net.mean[-1] / net.mean[0] for net in ten], low=KEPT),
        T.over_seeds("spread", [net.spread[-1] / net.spread[0] for net in ten], low=KEPT),
    )
    means, spreads = over_networks([net.mean for net in ten]), over_networks([net.spread for net in ten])
    rms = over_networks([net.rms for net in ten])
    values = {
        "layers": LAYERS,
        "deepest": DEEPEST,
        "ten": statistics.fmean(factors[LAYERS]),
        "fifty": statistics.fmean(factors[DEEPEST]),
        "mean": means[-1],
        "spread": spreads[-1],
        "mean_theory": mean("relu", 2.0),
        "spread_theory": math.sqrt(variance("relu", 2.0)),
        "xavier": statistics.fmean(map(factor_per_layer, fifty["xavier"])),
        "narrow": NARROW,
        "narrow_factor": math.exp(math.sqrt(log_length_variance("relu", [NARROW] * DEEPEST)) / 2),
        "xavier_last": over_networks(fifty["xavier"])[-1],
    }
    steady = [log10(rms[0])] * DEEPEST
    curves = (
        T.curve("theory", range(1, DEEPEST + 1), steady, reference=True),
        *(levels(T, name, rows) for name, rows in fifty.items()),
    )
    by_layer = Panel(T("panel.rms"), T.axis("layer"), T.axis("activation_rms", log10=True), curves)
    columns = (T("column.layer"), T("column.mean"), T("column.spread"), T("column.rms"))
    rows = tuple((i + 1, means[i], spreads[i], rms[i]) for i in range(LAYERS))
    pictures = (Picture(T("summary", **values), (*histograms(T, "layer", ten[0].values, 0.0, TOP, SHOWN), by_layer)),)
    return Outcome(checks, values, pictures, (Table(T("table"), columns, rows),), SEEDS)


LESSON = Lesson("he", experiment, seconds=8.0)
