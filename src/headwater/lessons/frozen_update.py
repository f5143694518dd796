"""w ← w - α·g does nothing where α·g is less than half a step between neighbouring float32 numbers at w.

A step of SGD and one of Adam are taken on networks of rising depth, and the probe counts the first layer's weights that
are bit-identical afterwards. Adam divides by the gradient's own size, so that it holds out longer, until that size is
drowned by its ε (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.lessons.training import MakeOptimizer, adam, sgd
from headwater.records import Experiment
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory.depth import ADAM_EPS

DEPTHS = (*range(5, 21), 30, 50)
SEEDS = (0, 1, 2, 3, 4)
BATCH = 128
RATES = {"sgd": 0.1, "adam": 1e-3}
MAKERS: dict[str, MakeOptimizer] = {"sgd": sgd(RATES["sgd"]), "adam": adam(RATES["adam"])}
T = Texts("frozen-update")


@dataclass(frozen=True)
class Frozen:
    """What one step did to the first layer of one network.

    Attributes:
        share: Of weights that are bit-identical after the step.
        log10_rms: Of their gradient.
        blank: Share of the gradient that is exactly zero.
        below_epsilon: Share of the rest below Adam's ε; NaN for other optimizers.
    """

    share: float
    log10_rms: float
    blank: float
    below_epsilon: float


def experiment() -> Outcome:
    """Sigmoid networks of each depth, one step each, under both optimizers."""
    found = {name: {depth: _steps(depth, maker) for depth in DEPTHS} for name, maker in MAKERS.items()}
    shares = {name: {d: [one.share for one in row] for d, row in rows.items()} for name, rows in found.items()}
    frozen_at = {name: [_frozen_at(rows, i) for i in range(len(SEEDS))] for name, rows in shares.items()}
    shallow, deepest = DEPTHS[0], DEPTHS[-1]
    values = {f"{name}_depth": max(depths) for name, depths in frozen_at.items()}
    left, at_last = (_levels(found[name], values[f"{name}_depth"]) for name in MAKERS)
    checks = (
        *(T.over_seeds(f"all_{name}", shares[name][deepest], low=1.0) for name in MAKERS),
        *(
            T.over_seeds(f"grows_{name}", _gains(shares[name][shallow], shares[name][deepest]), low=0.0)
            for name in MAKERS
        ),
        T.over_seeds("later", _gains(frozen_at["sgd"], frozen_at["adam"]), low=0.0),
        T.within("left", min(left), -45.0, 0.0),
    )
    start = found["sgd"][shallow]
    values |= {
        "shallow": shallow,
        "sgd_shallow": 100 * statistics.fmean(shares["sgd"][shallow]),
        "adam_shallow": 100 * statistics.fmean(shares["adam"][shallow]),
        "blank": 100 * statistics.fmean(one.blank for one in start),
        "sgd_gradient": 10 ** statistics.fmean(left),
        "adam_gradient": 10 ** statistics.fmean(at_last),
        "epsilon": ADAM_EPS,
    }
    rows = tuple(_row(depth, found["sgd"][depth], found["adam"][depth]) for depth in DEPTHS)
    columns = tuple(T(f"column.{key}") for key in ("depth", "gradient", "sgd", "adam", "below"))
    return Outcome(
        checks, values, (_picture(shares, found["sgd"], values),), (Table(T("table"), columns, rows),), SEEDS
    )


def _steps(depth: int, maker: MakeOptimizer) -> list[Frozen]:
    """One step of a fresh network per seed."""
    return [_step(depth, maker, seed) for seed in SEEDS]


def _step(depth: int, maker: MakeOptimizer, seed: int) -> Frozen:
    data = digits().first(BATCH)
    one = Experiment(
        model=lambda: chain(deep(depth), "sigmoid", seed=seed),
        batches=lambda: [(data.x, data.y)],
        loss=cross_entropy,
        optimizer=maker,
    )
    weight = check(one, sites="0").flow.parameters[0]
    gradient, below = weight.grad, weight.below_epsilon_fraction
    return Frozen(
        share=math.nan if weight.unchanged_fraction is None else weight.unchanged_fraction,
        log10_rms=math.nan if gradient is None or gradient.log10_rms is None else gradient.log10_rms,
        blank=math.nan if gradient is None or gradient.zero_fraction is None else gradient.zero_fraction,
        below_epsilon=math.nan if below is None else below,
    )


def _frozen_at(rows: dict[int, list[float]], seed: int) -> float:
    """The first depth from which on not one weight moved; infinity if there is none."""
    moved = [depth for depth in DEPTHS if rows[depth][seed] < 1.0]
    still = [depth for depth in DEPTHS if not moved or depth > moved[-1]]
    return still[0] if still else math.inf


def _levels(rows: dict[int, list[Frozen]], depth: float) -> list[float]:
    """Gradients at the depth at which all is frozen, or at the deepest if nowhere is."""
    return [one.log10_rms for one in rows[int(depth) if math.isfinite(depth) else DEPTHS[-1]]]


def _gains(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(before, after, strict=True)]


def _row(depth: int, under_sgd: list[Frozen], under_adam: list[Frozen]) -> tuple[float, ...]:
    """A line of the table: means over the seeds."""
    gradient = 10 ** statistics.fmean(one.log10_rms for one in under_sgd)
    shares = (statistics.fmean(one.share for one in rows) for rows in (under_sgd, under_adam))
    return depth, gradient, *shares, statistics.fmean(one.below_epsilon for one in under_adam)


def _picture(
    shares: dict[str, dict[int, list[float]]], found: dict[int, list[Frozen]], values: dict[str, float]
) -> Picture:
    left = tuple(_with_interval(name, rows) for name, rows in shares.items())
    gradients = {depth: [one.log10_rms for one in rows] for depth, rows in found.items()}
    epsilon = T.curve("epsilon", (DEPTHS[0], DEPTHS[-1]), (log10(ADAM_EPS),) * 2, reference=True)
    right = (_with_interval("gradient", gradients), epsilon)
    panels = (
        Panel(T("panel.share"), T.axis("depth"), T.axis("share", low=0.0, high=1.0), left),
        Panel(T("panel.gradient"), T.axis("depth"), T.axis("gradient_rms", log10=True), right),
    )
    return Picture(T("summary", **values), panels)


def _with_interval(key: str, rows: dict[int, list[float]]) -> Curve:
    """Means over the seeds with their intervals."""
    low, high = zip(*(t_interval(row) for row in rows.values()), strict=True)
    return T.curve(key, list(rows), [statistics.fmean(row) for row in rows.values()], low=low, high=high)


LESSON = Lesson("frozen-update", experiment, seconds=8.0)
