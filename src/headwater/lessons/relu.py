"""ReLU′ is 1 for positive inputs and the gradient survives, if the weights make up for the half that is switched off.

Gradients at every layer of 50 layers: ReLU with He's weights (He et al. 2015, arXiv:1502.01852, section 2.2) beside
sigmoid with Xavier's, and ReLU with PyTorch's default weights. Then the training of 20 layers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from torch import nn

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.lessons.tanh import decades_per_layer, gradient_levels, mean_levels
from headwater.lessons.together import TrainedTogether, train_together
from headwater.records import Flow
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory import depth_scales

DEPTH = 50
WIDTH = 300
MIDDLE = "49"  # the 25th activation
BATCH = 128
SEEDS = (0, 1, 2, 3, 4)
STEADY = 0.03  # of the factor per layer
TOLERANCE = 0.1  # of the decades lost per layer
NETS = {"he": ("relu", "init.he", 2.0), "default": ("relu", None, 1 / 3), "sigmoid": ("sigmoid", "init.xavier", 1.0)}
"""Activation, remedy and σ_w²; the biases of ``nn.Linear`` are small and change no slope of ReLU."""

TRAIN_DEPTH, STEPS, LEARNING_RATE, LEARNS = 20, 200, 1e-3, 0.90
TRAINED = tuple(range(10))  # seeds of the networks that are trained
SMOOTH = 10  # steps of a curve's point
T = Texts("relu")


def experiment() -> Outcome:
    """Gradients by layer, then training."""
    flows = {name: [_flow(name, seed) for seed in SEEDS] for name in NETS}
    levels = {name: [gradient_levels(flow) for flow in rows] for name, rows in flows.items()}
    lost = {name: [decades_per_layer(row) for row in rows] for name, rows in levels.items()}
    factors = {name: [10**-slope for slope in rows] for name, rows in lost.items()}
    theory = {name: depth_scales(phi, sigma_w2).chi_1 ** 0.5 for name, (phi, _, sigma_w2) in NETS.items()}
    halves = [_on(flow) for flow in flows["he"]]
    data = digits()
    runs = {name: _trained(name, data) for name in ("he", "sigmoid")}
    expected = -log10(theory["default"])
    shares = {name: run.shares(data.x, data.y) for name, run in runs.items()}
    checks = (
        T.over_seeds("steady", factors["he"], low=1 - STEADY, high=1 + STEADY),
        T.over_seeds("against_sigmoid", _gains(lost["he"], lost["sigmoid"]), low=0.0),
        T.over_seeds("trains", shares["he"], low=LEARNS),
        T.over_seeds("trains_better", _gains(shares["sigmoid"], shares["he"]), low=0.0),
        T.over_seeds("default", lost["default"], low=(1 - TOLERANCE) * expected, high=(1 + TOLERANCE) * expected),
    )
    values = {
        "depth": DEPTH,
        "train_depth": TRAIN_DEPTH,
        "steps": STEPS,
        "half": 100 * statistics.fmean(halves),
        "default_theory": theory["default"],
        **{f"{name}_factor": statistics.fmean(row) for name, row in factors.items()},
        **{f"{name}_lost": statistics.fmean(row) * (DEPTH - 2) for name, row in lost.items()},
        **{f"{name}_train": 100 * statistics.fmean(row) for name, row in shares.items()},
    }
    columns = tuple(T(f"column.{key}") for key in ("network", "factor", "low", "high", "theory"))
    rows = tuple((T(f"curve.{n}"), statistics.fmean(row), *t_interval(row), theory[n]) for n, row in factors.items())
    gradients = tuple(mean_levels(name, rows, T) for name, rows in levels.items())
    panels = (
        Panel(T("panel.gradient"), T.axis("layer"), T.axis("gradient_rms", log10=True), gradients),
        Panel(T("panel.training"), T.axis("step"), T.axis("loss", low=0.0), tuple(map(_losses, runs, runs.values()))),
    )
    return Outcome(
        checks, values, (Picture(T("summary", **values), panels),), (Table(T("table"), columns, rows),), SEEDS
    )


def _flow(name: str, seed: int) -> Flow:
    phi, remedy, _ = NETS[name]
    data = digits()
    model = chain(deep(DEPTH, WIDTH), phi, remedy, seed=seed)
    return check(model, (data.x[:BATCH], data.y[:BATCH]), cross_entropy, sites=(nn.Linear, MIDDLE)).flow


def _on(flow: Flow) -> float:
    """Share of the activations in the middle of the network that are switched on."""
    zeros = flow.site(MIDDLE).activation.zero_fraction
    return math.nan if zeros is None else 1 - zeros


def _trained(name: str, data: Split) -> TrainedTogether:
    phi, remedy, _ = NETS[name]
    nets = [chain(deep(TRAIN_DEPTH), phi, remedy, seed=seed) for seed in TRAINED]
    return train_together(nets, data, steps=STEPS, lr=LEARNING_RATE, seeds=TRAINED)


def _gains(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(before, after, strict=True)]


def _losses(name: str, run: TrainedTogether) -> Curve:
    """Mean loss over seeds and neighbouring steps."""
    by_step = run.mean_losses
    smooth = [statistics.fmean(by_step[i : i + SMOOTH]) for i in range(0, len(by_step), SMOOTH)]
    return T.curve(name, range(SMOOTH, SMOOTH * len(smooth) + 1, SMOOTH), smooth)


LESSON = Lesson("relu", experiment, seconds=6.0)
