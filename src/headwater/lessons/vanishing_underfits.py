"""A deep sigmoid network does not learn: training accuracy itself stays near chance, which is underfitting.

It is no lack of capacity: the same network with ReLU and He's weights in its place learns on the same budget. Glorot
and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 3, for sigmoids.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import nn

from headwater.api import apply, check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, table
from headwater.lessons.networks import chain, deep
from headwater.lessons.training import Trained, adam, train
from headwater.records.picture import Curve, Panel, Picture
from headwater.remedies.proof import t_interval

SHALLOW, DEEP = 2, 20
DEPTHS = (SHALLOW, 3, 5, 10, DEEP)
SEEDS = (0, 1, 2, 3, 4)
STEPS = 200
RATE = 3e-3
BATCH = 256
LEARNS, CHANCE = 0.95, 0.20
REPAIR = ("activation.relu", "init.he")
SMOOTH = 10  # steps of a curve's point
T = Texts("vanishing-underfits")


def experiment() -> Outcome:
    """Networks of each depth on the same budget, and the deepest once more with another activation."""
    data = digits()
    runs = {depth: [_trained(_sigmoid(depth, seed), data, seed) for seed in SEEDS] for depth in DEPTHS}
    repaired = [_trained(apply(_sigmoid(DEEP, seed), REPAIR, seed=seed), data, seed) for seed in SEEDS]
    shallow, deep_ = runs[SHALLOW], runs[DEEP]
    checks = (
        T.over_seeds("shallow_learns", [run.train for run in shallow], low=LEARNS),
        T.over_seeds("deep_does_not", [run.train for run in deep_], high=CHANCE),
        T.over_seeds("no_gap", [run.gap for run in deep_], high=0.05),
        T.over_seeds("capacity", [run.train - CHANCE for run in repaired], low=0.0),
        T.true("found", all("vanishing" in _findings(data, seed) for seed in SEEDS)),
    )
    values = {
        "shallow": SHALLOW,
        "deep": DEEP,
        "steps": STEPS,
        "shallow_train": 100 * _mean(shallow, "train"),
        "deep_train": 100 * _mean(deep_, "train"),
        "deep_test": 100 * _mean(deep_, "test"),
        "repaired_train": 100 * _mean(repaired, "train"),
    }
    rows = [(str(depth), _mean(runs[depth], "train"), _mean(runs[depth], "test")) for depth in DEPTHS]
    named = [(T("row.sigmoid", depth=depth), *numbers) for depth, *numbers in rows]
    named.append((T("row.repaired", depth=DEEP), _mean(repaired, "train"), _mean(repaired, "test")))
    columns = tuple(T(f"column.{key}") for key in ("network", "train", "test"))
    picture = Picture(T("summary", **values), _panels(runs, repaired))
    return Outcome(checks, values, (picture,), (table(T("table"), columns, named),), SEEDS)


def _sigmoid(depth: int, seed: int) -> nn.Sequential:
    return chain(deep(depth), "sigmoid", seed=seed)


def _trained(model: nn.Module, data: Split, seed: int) -> Trained:
    """Adam divides by roots of squared gradients; where those are subnormal a processor is slow, and 0 does as well."""
    torch.set_flush_denormal(True)
    try:
        return train(model, data, steps=STEPS, optimizer=adam(RATE), seed=seed)
    finally:
        torch.set_flush_denormal(False)


def _findings(data: Split, seed: int) -> set[str]:
    """What the check finds in the untrained deep network."""
    report = check(_sigmoid(DEEP, seed), (data.x[:BATCH], data.y[:BATCH]), cross_entropy)
    return {finding.symptom for finding in report.findings}


def _mean(runs: Sequence[Trained], part: str) -> float:
    return statistics.fmean(getattr(run, part) for run in runs)


def _panels(runs: dict[int, list[Trained]], repaired: list[Trained]) -> tuple[Panel, ...]:
    """Loss by step for the two networks and the repaired one, and accuracy by depth."""
    losses = (
        _losses("shallow", runs[SHALLOW], SHALLOW),
        _losses("deep", runs[DEEP], DEEP),
        _losses("repaired", repaired, DEEP),
    )
    accuracies = tuple(_accuracies(part, runs) for part in ("train", "test"))
    chance = T.curve("chance", (DEPTHS[0], DEPTHS[-1]), (0.1, 0.1), reference=True)
    return (
        Panel(T("panel.loss"), T.axis("step"), T.axis("loss", low=0.0), losses),
        Panel(T("panel.depth"), T.axis("depth"), T.axis("accuracy", low=0.0, high=1.0), (*accuracies, chance)),
    )


def _losses(key: str, runs: list[Trained], depth: int) -> Curve:
    losses = torch.tensor([run.losses for run in runs]).mean(0).reshape(-1, SMOOTH).mean(1).tolist()
    return T.curve(key, range(SMOOTH, STEPS + 1, SMOOTH), losses, depth=depth)


def _accuracies(part: str, runs: dict[int, list[Trained]]) -> Curve:
    rows = [[getattr(run, part) for run in row] for row in runs.values()]
    low, high = zip(*map(t_interval, rows), strict=True)
    return T.curve(part, DEPTHS, [statistics.fmean(row) for row in rows], low=low, high=high)


LESSON = Lesson("vanishing-underfits", experiment, seconds=6.0)
