"""Depth itself can be cured: a thousand plain layers, ReLU and sigmoid, untouched and repaired, on digits.

Mirrored weights for ReLU (Balduzzi et al. 2017, arXiv:1702.08591) and tailored activations for the sigmoid (Martens et
al. 2021, arXiv:2110.01765), both in place: no shortcut, no normalisation. Beside them what is usually tried, He's
weights, orthogonal ones and LSUV: they bring the gradient back and merge the inputs. Adam, ten steps of warm-up, linear
decay. Five networks of each kind, three of what is usually tried, are trained side by side on one thread, with
subnormal numbers flushed to zero, which slow down the networks whose gradients vanish.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from headwater.api import apply, check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.lessons.together import train_together
from headwater.records.picture import Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.remedies.surgery import RemedyWarning
from headwater.theory import depth_scales

LAYERS, WIDTH = 1000, 64  # hidden layers
SEEDS = (0, 1, 2, 3, 4)
STEPS, WARM_UP, BATCH, SMOOTH = 60, 10, 64, 5
RATE = 2e-5  # Adam's, at its highest
PROBED = [str(2 * layer) for layer in (*range(0, LAYERS, 50), LAYERS - 1)]  # sites: every fiftieth layer and the last
CHANCE, TRAINS, SECONDS = 0.12, 0.90, 60.0
LEARNS_NOTHING = 0.2  # the best of nine networks: the share of one class is up to 0.13, and a batch may favour one
LEVEL = 0.03  # of a layer: as near to 1 as the lesson `relu` asks of He's weights
MERGED = 0.99  # |cos|, as in the rule for merged inputs
T = Texts("thousand-layers")


@dataclass(frozen=True)
class Kind:
    """What a network is made of.

    Attributes:
        activation: Of each hidden layer.
        remedy: Applied in place, or nothing.
        seeds: Of its networks.
    """

    activation: str
    remedy: str | None
    seeds: tuple[int, ...] = SEEDS


KINDS = {
    "relu": Kind("relu", None),
    "he": Kind("relu", "init.he", seeds=SEEDS[:3]),
    "orthogonal": Kind("relu", "init.orthogonal", seeds=SEEDS[:3]),
    "lsuv": Kind("relu", "init.lsuv", seeds=SEEDS[:3]),
    "mirrored": Kind("relu", "init.mirrored"),
    "sigmoid": Kind("sigmoid", None),
    "tailored": Kind("sigmoid", "activation.tailored"),
}
REPAIRED = ("mirrored", "tailored")
TRIED = ("he", "orthogonal", "lsuv")
SMALL = {"linear": (64, 10), "four": (64, 64, 64, 64, 10)}
SMALL_STEPS, SMALL_LR = 300, 3e-3


@dataclass(frozen=True)
class Measured:
    """Networks of one kind.

    Attributes:
        accuracy: Test accuracy of each.
        losses: Mean over the networks, step by step.
        gradients: log₁₀ of the gradient's rms at the probed layers of the first network, before training.
        cosine: Mean |cos| between samples at the last hidden layer.
        rank: Effective rank of the samples there.
        seconds: Of one core, to make and train all of them.
    """

    accuracy: tuple[float, ...]
    losses: list[float]
    gradients: tuple[float, ...]
    cosine: float | None
    rank: float | None
    seconds: float

    @property
    def decades(self) -> float:
        """By how much the gradient differs between the first layer and the last."""
        return self.gradients[0] - self.gradients[-1]

    @property
    def factor(self) -> float:
        """What one layer makes of the gradient, on its way back through all of them."""
        return float(10 ** (self.decades / (LAYERS - 1)))


def experiment() -> Outcome:
    """Train all kinds."""
    data = digits()
    with _subnormals_flushed():
        found = {name: _measured(kind, data) for name, kind in KINDS.items()}
    checks = (
        *(T.over_seeds(name, found[name].accuracy, high=CHANCE) for name in ("relu", "sigmoid")),
        T.within("tried", max(max(found[name].accuracy) for name in TRIED), high=LEARNS_NOTHING),
        T.within("level", max(abs(1 - found[name].factor) for name in TRIED), high=LEVEL),
        T.within("merged", min(found[name].cosine or 0.0 for name in TRIED), low=MERGED),
        *(T.over_seeds(name, found[name].accuracy, low=TRAINS) for name in REPAIRED),
        *(T.within(f"seconds_{name}", found[name].seconds, high=SECONDS) for name in REPAIRED),
    )
    values = {
        "layers": LAYERS,
        "steps": STEPS,
        "seeds": len(SEEDS),
        **{f"{name}_accuracy": 100 * statistics.fmean(row.accuracy) for name, row in found.items()},
        **{f"{name}_gradient": 10 ** row.gradients[0] for name, row in found.items()},
        **{f"{name}_cosine": row.cosine for name, row in found.items()},
        "he_decades": -found["he"].decades,
        **{f"{name}_seconds": found[name].seconds for name in REPAIRED},
        "relu_decades": -LAYERS * log10(depth_scales("relu", 1 / 3).chi_1 ** 0.5),
        "lr": RATE,
    }
    values |= {f"{name}_accuracy": 100 * statistics.fmean(_small(sizes, data)) for name, sizes in SMALL.items()}
    columns = tuple(T(f"column.{key}") for key in ("network", "accuracy", "low", "high", "gradient", "cosine", "rank"))
    rows = tuple(
        (
            T(f"curve.{name}"),
            statistics.fmean(row.accuracy),
            *t_interval(row.accuracy),
            10 ** row.gradients[0],
            row.cosine,
            row.rank,
        )
        for name, row in found.items()
    )
    panels = (_gradients(found), _losses(found))
    return Outcome(
        checks, values, (Picture(T("summary", **values), panels),), (Table(T("table"), columns, rows),), SEEDS
    )


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _network(kind: Kind, seed: int, data: Split) -> nn.Sequential:
    model = chain(deep(LAYERS + 1, WIDTH), kind.activation, seed=seed)
    if kind.remedy is None:
        return model
    batch = (data.x[:BATCH], data.y[:BATCH])
    with warnings.catch_warnings():  # LSUV's own collapse check says what this lesson measures
        warnings.simplefilter("ignore", RemedyWarning)
        return cast(nn.Sequential, apply(model, kind.remedy, seed=seed, batches=[batch], loss=cross_entropy))


def _measured(kind: Kind, data: Split) -> Measured:
    started = time.process_time()
    nets = [_network(kind, seed, data) for seed in kind.seeds]
    made = time.process_time() - started
    flow = check(nets[0], (data.x[:BATCH], data.y[:BATCH]), cross_entropy, sites=PROBED).flow
    gradients = [row.activation_grad for row in flow.sites if row.activation_grad is not None]
    started = time.process_time()
    trained = train_together(
        nets, data, steps=STEPS, lr=RATE, batch=BATCH, seeds=kind.seeds, schedule=_warm_up_then_decay
    )
    return Measured(
        accuracy=trained.shares(data.test_x, data.test_y),
        losses=trained.mean_losses,
        gradients=tuple(log10(moments.rms or 0.0) for moments in gradients),
        cosine=flow.sites[-1].abs_cosine,
        rank=flow.sites[-1].effective_rank,
        seconds=made + time.process_time() - started,
    )


def _small(sizes: tuple[int, ...], data: Split) -> tuple[float, ...]:
    """Test accuracy of networks that need no cure, for comparison."""
    nets = [chain(sizes, "relu", "init.he", seed=seed) for seed in SEEDS]
    trained = train_together(nets, data, steps=SMALL_STEPS, lr=SMALL_LR, batch=BATCH, seeds=SEEDS)
    return trained.shares(data.test_x, data.test_y)


def _warm_up_then_decay(step: int) -> float:
    return (step + 1) / WARM_UP if step < WARM_UP else (STEPS - step) / (STEPS - WARM_UP)


def _gradients(found: dict[str, Measured]) -> Panel:
    layers = [int(site) // 2 + 1 for site in PROBED]
    curves = tuple(T.curve(name, layers, row.gradients) for name, row in found.items())
    return Panel(T("panel.gradient"), T.axis("layer"), T.axis("gradient_rms", log10=True), curves)


def _losses(found: dict[str, Measured]) -> Panel:
    """Mean loss over networks and neighbouring steps."""
    curves = []
    for name, row in found.items():
        smooth = [statistics.fmean(row.losses[i : i + SMOOTH]) for i in range(0, STEPS, SMOOTH)]
        curves.append(T.curve(name, range(SMOOTH, STEPS + 1, SMOOTH), smooth))
    return Panel(T("panel.training"), T.axis("step"), T.axis("loss", low=0.0), tuple(curves))


LESSON = Lesson("thousand-layers", experiment, seconds=140.0)
