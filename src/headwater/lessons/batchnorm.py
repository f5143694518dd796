"""Batch normalisation between the affine map and the activation: less depends on the initialisation, at a cost.

The textbook's experiment (Saito 2016, "Deep Learning from Scratch", chapter 6.3): five hidden layers of 100 ReLU units
on 1,000 samples, whose weights start at each of 16 scales. Then speed, each network at the rate that suits it best; the
gap on few samples, by size of batch; and the gradient, layer by layer, against √(π/(π-1)) (Ioffe and Szegedy 2015,
arXiv:1502.03167; Yang et al. 2019, arXiv:1902.08129).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from headwater.api import apply, check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.lessons.overfitting import fitted, less
from headwater.lessons.training import sgd, train
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory import batch_norm_gradient_factor

SEEDS = tuple(range(10))
ARMS = {"plain": (), "norm": ("normalisation.batch",)}

SIZES = deep(6, 100)
SAMPLES, BATCH = 1000, 100
LEVEL = 0.8  # of training accuracy
SCALES = tuple(10 ** (-4 * i / 15) for i in range(16))
RATE, STEPS, EVERY = 0.2, 60, 10
TIMES = 2.0

RATES = (0.1, 0.3, 1.0)
MOST_STEPS = 30

DEEP, WIDE, WHOLE = 30, 400, 256
ENDS = 2  # layers left out at each end, where the factor is not that of a deep network
TOLERANCE = 0.02  # 400 units and 256 samples are not yet infinitely many

GAP_BATCHES = (100, 20)
GAP_STEPS = 400


def experiment() -> Outcome:
    """What it is good for, and what it costs."""
    t = Texts("batchnorm")
    data = digits()
    part = data.first(SAMPLES)
    by_scale = {arm: [_steps_by_scale(part, remedies, seed) for seed in SEEDS] for arm, remedies in ARMS.items()}
    counts = {arm: [sum(map(math.isfinite, steps)) for steps in those] for arm, those in by_scale.items()}
    saved = [_saved(plain, norm) for plain, norm in zip(by_scale["plain"], by_scale["norm"], strict=True)]
    by_rate = {arm: [_steps_by_rate(part, remedies, seed) for seed in SEEDS] for arm, remedies in ARMS.items()}
    best = {arm: [min(steps) for steps in those] for arm, those in by_rate.items()}
    levels = {arm: [_levels(data, remedies, seed) for seed in SEEDS] for arm, remedies in ARMS.items()}
    factors = {arm: [_factor(those) for those in levels[arm]] for arm in ARMS}
    theory = batch_norm_gradient_factor("relu")
    gaps = {(arm, size): [_gap(data, arm, size, seed) for seed in SEEDS] for size in GAP_BATCHES for arm in ARMS}
    shrunk = {size: less(gaps["plain", size], gaps["norm", size]) for size in GAP_BATCHES}
    checks = (
        t.over_seeds(
            "scales", [b / max(a, 1) for a, b in zip(counts["plain"], counts["norm"], strict=True)], low=TIMES
        ),
        t.over_seeds("steps", saved, low=0.0),
        t.over_seeds("best", less(best["plain"], best["norm"]), low=0.0),
        t.over_seeds("gap", less(shrunk[GAP_BATCHES[1]], shrunk[GAP_BATCHES[0]]), low=0.0),
        t.over_seeds("factor", factors["norm"], (1 - TOLERANCE) * theory, (1 + TOLERANCE) * theory),
    )
    values: dict[str, Value] = {
        "scales": len(SCALES),
        "depth": DEEP,
        "level": 100 * LEVEL,
        "steps": STEPS,
        "rate": RATE,
        "saved": statistics.fmean(saved),
        "theory": theory,
        "gained": 10 ** statistics.fmean(those[0] - those[-1] for those in levels["norm"]),
    }
    for arm in ARMS:
        values[f"count_{arm}"] = statistics.fmean(counts[arm])
        values[f"best_{arm}"] = statistics.fmean(best[arm])
        values[f"same_{arm}"] = statistics.fmean(steps[0] for steps in by_rate[arm])
        values[f"factor_{arm}"] = statistics.fmean(factors[arm])
    values |= {"same_rate": RATES[0], "small_batch": GAP_BATCHES[1], "large_batch": GAP_BATCHES[0]}
    for name, size in (("large", GAP_BATCHES[0]), ("small", GAP_BATCHES[1])):
        smaller = [100 * gap for gap in shrunk[size]]
        low, high = t_interval(smaller)
        values |= {f"less_{name}": statistics.fmean(smaller), f"less_{name}_low": low, f"less_{name}_high": high}
    picture = Picture(t("summary", **values), _panels(t, by_scale, levels, theory))
    return Outcome(checks, values, (picture,), (_scale_table(t, by_scale), _gap_table(t, gaps)), SEEDS)


def _panels(
    t: Texts, by_scale: dict[str, list[list[float]]], levels: dict[str, list[list[float]]], theory: float
) -> tuple[Panel, ...]:
    """Steps by scale, and the gradient by layer."""
    x = [log10(scale) for scale in SCALES]
    steps = tuple(t.curve(arm, x, _means(by_scale[arm]), points=True) for arm in ARMS)
    gradients = _gradients(t, levels, theory)
    return (
        Panel(t("panel.scales"), t.axis("scale", log10=True), t.axis("step", low=0.0), steps),
        Panel(t("panel.gradient"), t.axis("layer"), t.axis("gradient_rms", log10=True), gradients),
    )


def _network(remedies: Sequence[str], seed: int, init: str) -> nn.Module:
    """Five hidden layers of 100 ReLU units."""
    return apply(chain(SIZES, "relu", seed=seed), [init, *remedies], seed=seed)


def _scaled(model: nn.Module, scale: float) -> nn.Module:
    """Weights drawn from N(0, 1), now from N(0, scale²)."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(scale)
    return model


def _steps_by_scale(data: Split, remedies: Sequence[str], seed: int) -> list[float]:
    """Steps until it tells 80 % of the training samples right, for each scale; infinite if never."""
    models = (_scaled(_network(remedies, seed, "init.normal_one"), scale) for scale in SCALES)
    return [_steps_to_level(model, data, RATE, STEPS, EVERY, seed) for model in models]


def _steps_by_rate(data: Split, remedies: Sequence[str], seed: int) -> list[float]:
    """The same for each learning rate, by He."""
    return [_steps_to_level(_network(remedies, seed, "init.he"), data, rate, MOST_STEPS, 1, seed) for rate in RATES]


def _steps_to_level(model: nn.Module, data: Split, rate: float, most: int, every: int, seed: int) -> float:
    optimizer = sgd(rate)(model.parameters())
    for done in range(0, most, every):
        trained = train(model, data, steps=every, optimizer=optimizer, batch=BATCH, seed=1000 * seed + done)
        if trained.train >= LEVEL:
            return float(done + every)
        if not math.isfinite(trained.losses[-1]):
            break
    return math.inf


def _saved(plain: list[float], norm: list[float]) -> float:
    """Steps saved, over the scales on which both get there; NaN if there is none."""
    both = [a - b for a, b in zip(plain, norm, strict=True) if math.isfinite(a) and math.isfinite(b)]
    return statistics.fmean(both) if both else math.nan


def _means(by_seed: list[list[float]]) -> list[float]:
    """Mean steps at each scale over the seeds that get there; NaN where none does."""
    at_scale = [[steps for steps in those if math.isfinite(steps)] for those in zip(*by_seed, strict=True)]
    return [statistics.fmean(those) if those else math.nan for those in at_scale]


def _levels(data: Split, remedies: Sequence[str], seed: int) -> list[float]:
    """log₁₀ of the gradient's rms behind each hidden affine map of a deep wide network."""
    rows = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(seed))[:WHOLE]
    model: nn.Module = chain(deep(DEEP, WIDE), "relu", "init.he", seed=seed)
    if remedies:
        model = apply(model, remedies)
    flow = check(model, (data.x[rows], data.y[rows]), cross_entropy).flow
    affine = [row.activation_grad for row in flow.sites if row.site.kind == "affine"]
    return [moments.log10_rms for moments in affine[:-1] if moments is not None and moments.log10_rms is not None]


def _factor(levels: list[float]) -> float:
    """What a layer multiplies the gradient by on its way to the input."""
    inner = levels[ENDS:-ENDS]
    return float(10 ** -np.polyfit(range(len(inner)), inner, 1)[0])


def _gap(data: Split, arm: str, batch: int, seed: int) -> float:
    """How much worse the overfitting network does on new samples than on those it learned."""
    remedy = next(iter(ARMS[arm]), None)
    return fitted(data, seed, remedy, steps=GAP_STEPS, batch=batch)[1].gap


def _gradients(t: Texts, levels: dict[str, list[list[float]]], theory: float) -> tuple[Curve, ...]:
    layers = range(1, DEEP)
    means = {arm: [statistics.fmean(those) for those in zip(*levels[arm], strict=True)] for arm in ARMS}
    last = means["norm"][-1]
    line = [last + (DEEP - 1 - layer) * log10(theory) for layer in layers]
    return (*(t.curve(arm, layers, means[arm]) for arm in ARMS), t.curve("theory", layers, line, reference=True))


def _scale_table(t: Texts, by_scale: dict[str, list[list[float]]]) -> Table:
    """How many seeds learn at each scale."""
    columns = tuple(t(f"column.{key}") for key in ("scale", "plain", "norm"))
    rows = tuple(
        (scale, *(sum(math.isfinite(steps[i]) for steps in by_scale[arm]) for arm in ARMS))
        for i, scale in enumerate(SCALES)
    )
    return Table(t("table.scales"), columns, rows)


def _gap_table(t: Texts, gaps: dict[tuple[str, int], list[float]]) -> Table:
    columns = tuple(t(f"column.{key}") for key in ("batch", "plain", "norm"))
    rows = tuple((size, *(statistics.fmean(gaps[arm, size]) for arm in ARMS)) for size in GAP_BATCHES)
    return Table(t("table.gaps"), columns, rows)


LESSON = Lesson("batchnorm", experiment, seconds=45.0)
