"""Which initialisation goes with which activation? Every pair, ten layers deep, measured and trained.

The lectures' rule: Xavier, N(0, 1)/√n, for S-shaped activations, He, N(0, 1)/√(n/2), for the ReLU family (Glorot and
Bengio 2010; He et al. 2015, arXiv:1502.01852). He's factor is √2 here whatever follows, as lectures write it; the
remedy ``init.he`` knows each activation's own.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, table
from headwater.lessons.networks import chain, changed, deep
from headwater.lessons.together import train_together
from headwater.records.lesson import Check
from headwater.records.picture import Axis, Curve, Panel, Picture
from headwater.remedies.proof import t_interval
from headwater.theory import ACTIVATIONS, depth_scales, gain_forward, gradient_trajectory

DEPTH, WIDTH = 10, 64
SEEDS = tuple(range(20))
FEWER = SEEDS[:5]  # where nothing has to be better
PROBED = SEEDS[:2]  # networks of each pair whose gradients are looked at
STEPS, LEARNING_RATE, BATCH = 60, 1e-3, 64
INITS = {
    "default": None,
    "small": "init.normal_small",
    "one": "init.normal_one",
    "xavier": "init.xavier",
    "he": "init.he",
}
NAMES = tuple(name for name in ACTIVATIONS if name not in ("identity", "gelu_tanh"))  # GELU by its own formula
EXCEPTIONS = {"sigmoid": "one", "softsign": "he", "elu": "xavier", "selu": "xavier"}
"""Where the rule is wrong, and what is better."""
KEPT_DECADES = 1.5  # that ten layers may change the gradient by, where it is called kept
DEEPER = 50
T = Texts("init-by-activation")


@dataclass(frozen=True)
class Pair:
    """One activation with one initialisation.

    Attributes:
        accuracy: Test accuracy of each network.
        decades: log₁₀ of the gradient at the first layer over that at the last hidden one.
    """

    accuracy: tuple[float, ...]
    decades: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracy)


def experiment() -> Outcome:
    """Every activation in every initialisation."""
    data = digits()
    pairs = {name: _pairs(name, data) for name in NAMES}
    followed = [name for name in NAMES if name not in EXCEPTIONS]
    kept = max(abs(pairs[name][_rule(name)].decades) for name in NAMES if name != "sigmoid")
    checks = (
        *(_best_or_tied(name, pairs[name]) for name in followed),
        *(T.over_seeds(f"beats_{n}", _ahead(pairs[n], b, _rule(n)), low=0.0) for n, b in EXCEPTIONS.items()),
        T.within("kept", kept, high=KEPT_DECADES),
    )
    sigmoid = pairs["sigmoid"]
    scale = {"one": float(WIDTH), "xavier": 1.0}
    values = {
        "depth": DEPTH,
        "steps": STEPS,
        "activations": len(NAMES),
        "followed": len(followed),
        "kept": kept,
        **{f"{name}_{init}": 100 * pairs[name][init].mean for name in ("tanh", "relu", "gelu") for init in INITS},
        **{f"{name}_{_rule(name)}": 100 * pairs[name][_rule(name)].mean for name in EXCEPTIONS},
        **{f"{name}_{better}": 100 * pairs[name][better].mean for name, better in EXCEPTIONS.items()},
        "sigmoid_lost": -sigmoid["xavier"].decades,
        **{f"sigmoid_factor_{name}": depth_scales("sigmoid", w2).chi_1 ** 0.5 for name, w2 in scale.items()},
        **{f"{name}_gain": gain_forward(name) for name in ("softsign", "elu", "selu")},
        "deeper": DEEPER,
        **{f"{name}_deeper": float(gradient_trajectory(name, DEEPER, 2.0)[-1]) for name in ("gelu", "silu")},
    }
    columns = (T("column.activation"), T("column.rule"), *(T(f"init.{init}") for init in INITS), T("column.decades"))
    rows = tuple(
        (name, T(f"init.{_rule(name)}"), *(pair.mean for pair in row.values()), row[_rule(name)].decades)
        for name, row in pairs.items()
    )
    panel = Panel(
        T("panel.all"),
        Axis(T("axis.gradient"), "log10"),
        T.axis("accuracy", low=0.0, high=1.0),
        tuple(_points(init, pairs) for init in INITS),
    )
    return Outcome(
        checks, values, (Picture(T("summary", **values), (panel,)),), (table(T("table"), columns, rows),), SEEDS
    )


def _rule(name: str) -> str:
    """What the lectures recommend."""
    return ACTIVATIONS[name].init


def _pairs(name: str, data: Split) -> dict[str, Pair]:
    """All initialisations of one activation, trained side by side."""
    seeds = SEEDS if name in EXCEPTIONS else FEWER
    nets = {init: [_network(name, init, seed) for seed in seeds] for init in INITS}
    together = [net for row in nets.values() for net in row]
    trained = train_together(together, data, steps=STEPS, lr=LEARNING_RATE, batch=BATCH, seeds=[*seeds] * len(nets))
    accuracy = torch.tensor(trained.shares(data.test_x, data.test_y), dtype=torch.float64)
    by_init = accuracy.view(len(nets), len(seeds)).tolist()
    return {
        init: Pair(tuple(row), statistics.fmean(_decades(nets[init][seed], data) for seed in PROBED))
        for init, row in zip(nets, by_init, strict=True)
    }


def _network(name: str, init: str, seed: int) -> nn.Sequential:
    """A network of ten layers; for He's √2 its weights are drawn for ReLU."""
    if init != "he":
        return chain(deep(DEPTH, WIDTH), name, INITS[init], seed=seed)
    model = chain(deep(DEPTH, WIDTH), "relu", INITS[init], seed=seed)
    return model if name == "relu" else changed(model, f"activation.{name}")


def _decades(model: nn.Module, data: Split) -> float:
    flow = check(model, (data.x[:BATCH], data.y[:BATCH]), cross_entropy, sites=nn.Linear).flow
    levels = [row.activation_grad.log10_rms for row in flow.sites if row.activation_grad is not None]
    first, last = levels[0], levels[-2]
    return math.nan if first is None or last is None else first - last


def _ahead(row: dict[str, Pair], one: str, other: str) -> list[float]:
    """By how much one initialisation is better than the other, seed by seed."""
    return [a - b for a, b in zip(row[one].accuracy, row[other].accuracy, strict=True)]


def _best_or_tied(name: str, row: dict[str, Pair]) -> Check:
    """Whether no other initialisation is better than the recommended one beyond its interval."""
    rule = _rule(name)
    other = max((init for init in INITS if init != rule), key=lambda init: row[init].mean)
    ahead = _ahead(row, rule, other)
    interval = t_interval(ahead)
    return Check(T("check.tied", activation=name), interval[1] >= 0, statistics.fmean(ahead), interval=interval)


def _points(init: str, pairs: dict[str, dict[str, Pair]]) -> Curve:
    row = [pairs[name][init] for name in pairs]
    return T.curve(init, [pair.decades for pair in row], [pair.mean for pair in row], points=True)


LESSON = Lesson("init-by-activation", experiment, seconds=25.0)
