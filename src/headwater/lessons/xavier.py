"""N(0, 1)/√n suits sigmoid and tanh: their activations keep a spread, layer after layer.

The experiment of Saito 2016, "Deep Learning from Scratch", chapter 6.2, and the ten layers of 500 tanh of Stanford's
CS231n, held against the book's numbers and against the length map (Poole et al. 2016, arXiv:1606.05340). The layers are
square, where Glorot and Bengio's 2/(fan_in + fan_out) of 2010 is the 1/n of the lectures.
"""

from __future__ import annotations

import statistics

from headwater.lessons.lesson import Lesson, Outcome, Texts, table
from headwater.lessons.naive_init import (
    DEEP,
    DEEP_SEEDS,
    LAYERS,
    SEEDS,
    TOLERANCE,
    WIDE,
    WIDTH,
    Activations,
    activations,
    expected_spreads,
    furthest,
    histograms,
    over_networks,
    spread_over_inputs,
)
from headwater.records.picture import Axis, Panel, Picture
from headwater.theory import depth_scales

INIT = "init.xavier"
BOOK = {"sigmoid": (0.208, 0.122, 0.124, 0.122, 0.123), "tanh": (0.627, 0.484, 0.407, 0.353, 0.316)}
"""What the book's script gives at each layer, means of three seeds."""
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
T = Texts("xavier")


def experiment() -> Outcome:
    """Five layers of 100 units, then ten of 500."""
    nets = {phi: [activations(phi, INIT, LAYERS, WIDTH, seed) for seed in SEEDS] for phi in BOOK}
    spreads = {phi: over_networks([net.spread for net in row]) for phi, row in nets.items()}
    theory = {phi: expected_spreads(phi, LAYERS, 1.0) for phi in BOOK}
    deep = {
        phi: over_networks([activations(phi, INIT, DEEP, WIDE, seed).spread for seed in DEEP_SEEDS]) for phi in BOOK
    }
    deep_theory = {phi: expected_spreads(phi, DEEP, 1.0) for phi in BOOK}
    low, high = 1 - TOLERANCE, 1 + TOLERANCE
    checks = (
        *(T.within(f"book_{phi}", furthest(spreads[phi], BOOK[phi]), low, high) for phi in BOOK),
        *(T.within(f"theory_{phi}", furthest(spreads[phi], theory[phi]), low, high) for phi in BOOK),
        *(T.within(f"deep_{phi}", furthest(deep[phi], deep_theory[phi]), low, high) for phi in BOOK),
    )
    values = {
        "layers": LAYERS,
        "deep": DEEP,
        **{f"{phi}_last": spreads[phi][-1] for phi in BOOK},
        **{f"{phi}_deep": deep[phi][-1] for phi in BOOK},
        **{f"{phi}_apart": statistics.fmean(spread_over_inputs(net.values[-1]) for net in nets[phi]) for phi in BOOK},
        "tanh_first": spreads["tanh"][0],
        "sigmoid_mean": statistics.fmean(net.mean[-1] for net in nets["sigmoid"]),
        "gradient": depth_scales("sigmoid", 1.0).chi_1 ** 0.5,
    }
    columns = (T("column.network"), *(T("column.layer", layer=i + 1) for i in range(LAYERS)))
    rows = tuple((T(f"row.{kind}_{phi}"), *by[phi][:LAYERS]) for phi in BOOK for kind, by in _kinds(spreads, theory))
    pictures = (
        Picture(T("summary.histograms"), tuple(panel for phi in BOOK for panel in _panels(phi, nets[phi]))),
        Picture(T("summary.spread", **values), tuple(_spread(phi, deep[phi], deep_theory[phi]) for phi in BOOK)),
    )
    return Outcome(checks, values, pictures, (table(T("table"), columns, rows),), SEEDS)


Rows = dict[str, list[float]]


def _kinds(spreads: Rows, theory: Rows) -> tuple[tuple[str, Rows], ...]:
    return ("measured", spreads), ("theory", theory), ("book", {phi: list(row) for phi, row in BOOK.items()})


def _panels(phi: str, nets: list[Activations]) -> tuple[Panel, ...]:
    return histograms(T, phi, nets[0].values, *RANGES[phi])


def _spread(phi: str, measured: list[float], theory: list[float]) -> Panel:
    """Spread by layer of the deep chain."""
    layers = range(1, DEEP + 1)
    curves = (T.curve("theory", layers, theory, reference=True), T.curve("measured", layers, measured, points=True))
    return Panel(T(f"panel.spread_{phi}"), T.axis("layer"), Axis(T("axis.spread"), low=0.0), curves)


LESSON = Lesson("xavier", experiment, seconds=2.0)
