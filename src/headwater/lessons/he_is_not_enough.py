"""He keeps the gradient, but inputs merge with depth: what arrives is of the right size and the same for all of them.

|cos| between samples, effective rank and gradient in plain ReLU networks of 100 to 1,000 layers, beside the correlation
map (Cho & Saul 2009, "Kernel methods for deep learning"; Poole et al. 2016, arXiv:1606.05340). Then 100 and 200 layers
are trained, with mirrored weights (Balduzzi et al. 2017, arXiv:1702.08591) as the control that has such gradients too
and keeps inputs apart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, deep
from headwater.lessons.together import train_together
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory import correlation_trajectory

DEPTH, DEEPER = 100, 200
DEEPEST = (300, 1000)  # measured once each
WIDTH = 128
SEEDS = tuple(range(10))
TRAINED = SEEDS[:5]  # of which networks are trained
STEPS, BATCH, SMOOTH = 60, 64, 5
INITS = ("he", "mirrored")
RATE = 3e-4  # the best of 1e-3, 3e-4 and 1e-4 for He's weights, and well for mirrored ones
MERGED, STEADY, STUCK, TRAINS = 0.99, 0.03, 0.3, 0.8
T = Texts("he-is-not-enough")


@dataclass(frozen=True)
class Measured:
    """One network at initialisation, layer by layer without the output layer.

    Attributes:
        cosines: Mean |cos| between samples.
        ranks: Effective rank.
        gradients: log₁₀ of the gradient's rms.
    """

    cosines: tuple[float, ...]
    ranks: tuple[float, ...]
    gradients: tuple[float, ...]

    @property
    def factor(self) -> float:
        """What a layer multiplies the gradient by on its way back."""
        return float(10 ** ((self.gradients[0] - self.gradients[-1]) / (len(self.gradients) - 1)))


@dataclass(frozen=True)
class Runs:
    """Networks that were trained.

    Attributes:
        losses: Mean over the networks, step by step.
        accuracy: Test accuracy of each.
    """

    losses: list[float]
    accuracy: tuple[float, ...]


def experiment() -> Outcome:
    """Measure both initialisations, then train both."""
    data = digits()
    nets = {init: [_measured(init, DEPTH, seed, data) for seed in SEEDS] for init in INITS}
    deepest = {depth: _measured("he", depth, SEEDS[0], data) for depth in DEEPEST}
    runs = {(init, depth): _trained(init, depth, data) for init in INITS for depth in (DEPTH, DEEPER)}
    he, mirrored = nets["he"], nets["mirrored"]
    checks = (
        T.over_seeds("merged", [net.cosines[-1] for net in he], low=MERGED),
        T.over_seeds("flat", [net.factor for net in he], low=1 - STEADY, high=1 + STEADY),
        T.over_seeds("apart", [1 - net.cosines[-1] for net in mirrored], low=1 - MERGED),
        T.over_seeds("stuck", runs["he", DEPTH].accuracy, high=STUCK),
        T.over_seeds("stuck_deeper", runs["he", DEEPER].accuracy, high=STUCK),
        T.over_seeds("control", runs["mirrored", DEEPER].accuracy, low=TRAINS),
    )
    values = {
        "depth": DEPTH,
        "deeper": DEEPER,
        "deepest": DEEPEST[-1],
        "steps": STEPS,
        "cosine_first": statistics.fmean(net.cosines[0] for net in he),
        "cosine": statistics.fmean(net.cosines[-1] for net in he),
        "rank_first": statistics.fmean(net.ranks[0] for net in he),
        "rank": statistics.fmean(net.ranks[-1] for net in he),
        "factor": statistics.fmean(net.factor for net in he),
        "mirrored_cosine": statistics.fmean(net.cosines[-1] for net in mirrored),
        "apart": 1 - deepest[DEEPEST[-1]].cosines[-1],
        "deepest_factor": deepest[DEEPEST[-1]].factor,
        "theory": float(correlation_trajectory("relu", 0.0, DEPTH, 2.0)[-1]),
        **{f"{init}_{name}": 100 * statistics.fmean(runs[init, d].accuracy) for init in INITS for name, d in _depths()},
    }
    columns = tuple(T(f"column.{key}") for key in ("network", "depth", "cosine", "rank", "factor", "accuracy"))
    rows = [_row(init, DEPTH, nets[init], runs[init, DEPTH]) for init in INITS]
    rows += [_row("he", depth, [net], None) for depth, net in deepest.items()]
    pictures = (Picture(T("summary", **values), (_cosines(nets), _gradients(nets), _losses(runs))),)
    return Outcome(checks, values, pictures, (Table(T("table"), columns, tuple(rows)),), SEEDS)


def _depths() -> tuple[tuple[str, int], ...]:
    return ("accuracy", DEPTH), ("deeper", DEEPER)


def _network(init: str, depth: int, seed: int) -> nn.Sequential:
    return chain(deep(depth, WIDTH), "relu", f"init.{init}", seed=seed)


def _measured(init: str, depth: int, seed: int, data: Split) -> Measured:
    flow = check(_network(init, depth, seed), (data.x[:BATCH], data.y[:BATCH]), cross_entropy, sites=nn.Linear).flow
    hidden = flow.sites[:-1]
    gradients = (row.activation_grad.log10_rms if row.activation_grad else None for row in hidden)
    return Measured(
        tuple(_known(row.abs_cosine) for row in hidden),
        tuple(_known(row.effective_rank) for row in hidden),
        tuple(map(_known, gradients)),
    )


def _known(number: float | None) -> float:
    return math.nan if number is None else number


def _trained(init: str, depth: int, data: Split) -> Runs:
    nets = [_network(init, depth, seed) for seed in TRAINED]
    trained = train_together(nets, data, steps=STEPS, lr=RATE, batch=BATCH, seeds=TRAINED)
    return Runs(trained.mean_losses, trained.shares(data.test_x, data.test_y))


def _row(init: str, depth: int, nets: Sequence[Measured], runs: Runs | None) -> tuple[Value | Message, ...]:
    parts = [[net.cosines[-1] for net in nets], [net.ranks[-1] for net in nets], [net.factor for net in nets]]
    accuracy = statistics.fmean(runs.accuracy) if runs else None
    return T(f"curve.{init}"), depth, *map(statistics.fmean, parts), accuracy


def _by_layer(key: str, rows: Sequence[Sequence[float]]) -> Curve:
    """Means over networks with their intervals."""
    by_layer = list(zip(*rows, strict=True))
    low, high = zip(*map(t_interval, by_layer), strict=True)
    return T.curve(key, range(1, len(by_layer) + 1), [statistics.fmean(row) for row in by_layer], low=low, high=high)


def _cosines(nets: dict[str, list[Measured]]) -> Panel:
    """|cos| by layer, and what theory makes of the first layer's."""
    first = statistics.fmean(net.cosines[0] for net in nets["he"])
    layers = len(nets["he"][0].cosines)
    expected = correlation_trajectory("relu", first, layers - 1, 2.0).tolist()
    theory = T.curve("theory", range(1, layers + 1), expected, reference=True)
    curves = tuple(_by_layer(init, [net.cosines for net in row]) for init, row in nets.items())
    return Panel(T("panel.cosine"), T.axis("layer"), T.axis("abs_cosine", low=0.0, high=1.0), (theory, *curves))


def _gradients(nets: dict[str, list[Measured]]) -> Panel:
    curves = tuple(_by_layer(init, [net.gradients for net in row]) for init, row in nets.items())
    return Panel(T("panel.gradient"), T.axis("layer"), T.axis("gradient_rms", log10=True, low=-8.0, high=0.0), curves)


def _losses(runs: dict[tuple[str, int], Runs]) -> Panel:
    """Mean loss over networks and neighbouring steps."""
    curves = []
    for (init, depth), row in runs.items():
        smooth = [statistics.fmean(row.losses[i : i + SMOOTH]) for i in range(0, STEPS, SMOOTH)]
        curves.append(T.curve(f"trained_{init}", range(SMOOTH, STEPS + 1, SMOOTH), smooth, depth=depth))
    return Panel(T("panel.training"), T.axis("step"), T.axis("loss", low=0.0), tuple(curves))


LESSON = Lesson("he-is-not-enough", experiment, seconds=37.0)
