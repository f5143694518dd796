"""Sigmoid outputs are all positive, so the weights of a unit get gradients of one sign, and descent zig-zags.

The gradient of weight i of a unit is (error of the unit) · (input i): with positive inputs its sign is the error's for
all i. The sign is counted by the probe, for one sample and for a batch. Then units with two weights start all around
their target and are trained a sample at a time on sigmoid, tanh and centred sigmoid inputs, and the length of their way
is measured. LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 4.3 and 4.4.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater import theory
from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain
from headwater.records.picture import Axis, Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval

SEEDS = tuple(range(10))
SIZES = (64, 32, 32, 10)
WEIGHT = "2.weight"  # of the first layer whose inputs are activations
SAMPLES = 8  # measured one at a time, per seed
BATCH = 256
INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "centred": lambda z: torch.sigmoid(z) - 0.5,
}
STARTS = 8  # directions from the target, over half a circle: from the other side all is mirrored
STEPS = 400
RATE = 0.5  # below 1 no sample can be overshot: ‖h‖² < 2 for two inputs of either activation
REACHED = 0.05  # distance from the target, of 1 at the start
CONDITION_SAMPLES = 4096
T = Texts("zigzag")


@dataclass(frozen=True)
class Ways:
    """How units came to their targets.

    Attributes:
        points: (steps + 1, starts, 2) distances from the target; the target is 0.
        lengths: Of each way until it reached the target, over the straight line's; NaN if it did not.
        steps: That it took.
    """

    points: Tensor
    lengths: list[float]
    steps: list[int]


def experiment() -> Outcome:
    """Signs of gradients, and the ways of descent."""
    signs = {name: [_coherences(name, seed) for seed in SEEDS] for name in ("sigmoid", "tanh")}
    ways = {name: [_ways(of, seed) for seed in SEEDS] for name, of in INPUTS.items()}
    lengths = {name: [statistics.fmean(way.lengths) for way in rows] for name, rows in ways.items()}
    per_sample = [value for one, _ in signs["sigmoid"] for value in one]
    expected = 1 + 2 * theory.mean("sigmoid", 1.0) ** 2 / theory.variance("sigmoid", 1.0)
    conditions = {name: [_condition(of, seed) for seed in SEEDS] for name, of in INPUTS.items()}
    checks = (
        T.within("per_sample", min(per_sample), 1.0, 1.0),
        T.over_seeds("per_batch", [1 - batch for _, batch in signs["sigmoid"]], low=0.0),
        T.over_seeds("longer", _differences(lengths["sigmoid"], lengths["tanh"]), low=0.0),
        T.over_seeds("centring", _differences(lengths["sigmoid"], lengths["centred"]), low=0.0),
        T.over_seeds("condition", conditions["sigmoid"], low=0.9 * expected, high=1.1 * expected),
    )
    steps = {name: statistics.fmean(s for way in rows for s in way.steps) for name, rows in ways.items()}
    worst = STARTS * 3 // 4  # from where one weight has to grow and the other to shrink
    values = {
        "sigmoid_sample": statistics.fmean(per_sample),
        "sigmoid_batch": statistics.fmean(batch for _, batch in signs["sigmoid"]),
        "tanh_sample": statistics.fmean(value for one, _ in signs["tanh"] for value in one),
        "samples": BATCH,
        "condition": statistics.fmean(conditions["sigmoid"]),
        "tanh_condition": statistics.fmean(conditions["tanh"]),
        "worst": _mean_at(ways["sigmoid"], worst),
        "best": _mean_at(ways["sigmoid"], STARTS // 4),
        **{f"{name}_length": statistics.fmean(row) for name, row in lengths.items()},
        **{f"{name}_steps": value for name, value in steps.items()},
    }
    columns = tuple(T(f"column.{key}") for key in ("inputs", "length", "steps", "condition"))
    rows = tuple(
        (T(f"curve.{name}"), values[f"{name}_length"], steps[name], statistics.fmean(conditions[name]))
        for name in INPUTS
    )
    panels = (*(_panel(name, ways[name][0], worst) for name in ("sigmoid", "tanh")), _by_direction(ways))
    return Outcome(
        checks, values, (Picture(T("summary", **values), panels),), (Table(T("table"), columns, rows),), SEEDS
    )


def _coherences(activation: str, seed: int) -> tuple[list[float], float]:
    """How much of one sign a unit's weight gradients are: for samples one at a time, and for a batch."""
    data, model = digits(), chain(SIZES, activation, "init.xavier", seed=seed)
    first = SAMPLES * seed
    single = [_coherence(model, data.x[i : i + 1], data.y[i : i + 1]) for i in range(first, first + SAMPLES)]
    return single, _coherence(model, data.x[:BATCH], data.y[:BATCH])


def _coherence(model: nn.Module, x: Tensor, y: Tensor) -> float:
    flows = {parameter.name: parameter for parameter in check(model, (x, y), cross_entropy).flow.parameters}
    measured = flows[WEIGHT].sign_coherence
    return math.nan if measured is None else measured


def _ways(inputs: Callable[[Tensor], Tensor], seed: int) -> Ways:
    """One linear layer whose units start around one target, trained a sample at a time on targets it can reach."""
    generator = torch.Generator().manual_seed(seed)
    angles = math.pi * torch.arange(STARTS) / STARTS
    units = nn.Linear(2, STARTS, bias=False)
    target = torch.randn(2, generator=generator)
    with torch.no_grad():
        units.weight.copy_(target + torch.stack((angles.cos(), angles.sin()), 1))
    descent = torch.optim.SGD(units.parameters(), lr=RATE)
    points = [units.weight.detach() - target]
    for z in torch.randn(STEPS, 2, generator=generator):
        h = inputs(z)
        descent.zero_grad()
        (0.5 * (units(h) - h @ target) ** 2).sum().backward()
        descent.step()
        points.append(units.weight.detach() - target)
    track = torch.stack(points)
    steps = [_first(near) for near in (track.norm(dim=2) <= REACHED).T]
    moved = track.diff(dim=0).norm(dim=2)
    lengths = [float(moved[:n, i].sum()) / (1 - REACHED) if n else math.nan for i, n in enumerate(steps)]
    return Ways(track, lengths, steps)


def _first(near: Tensor) -> int:
    """The first step at which it is near; 0 for never."""
    return int(near.int().argmax())


def _condition(inputs: Callable[[Tensor], Tensor], seed: int) -> float:
    """Steepest over flattest direction of the loss of a linear unit: of E[h hᵀ], largest eigenvalue over smallest."""
    h = inputs(torch.randn(CONDITION_SAMPLES, 2, generator=torch.Generator().manual_seed(seed)))
    eigenvalues = torch.linalg.eigvalsh(h.T @ h / len(h))
    return float(eigenvalues[-1] / eigenvalues[0])


def _differences(a: list[float], b: list[float]) -> list[float]:
    return [left - right for left, right in zip(a, b, strict=True)]


def _mean_at(ways: list[Ways], start: int) -> float:
    return statistics.fmean(way.lengths[start] for way in ways)


def _panel(name: str, way: Ways, start: int) -> Panel:
    """The way from one start, in the plane of the two weights."""
    points = way.points[: way.steps[start] + 1, start]
    curves = (
        T.curve("straight", (float(points[0, 0]), 0.0), (float(points[0, 1]), 0.0), reference=True),
        T.curve(name, points[:, 0].tolist(), points[:, 1].tolist()),
        T.curve("target", (0.0,), (0.0,), points=True),
    )
    x, y = (Axis(T(f"axis.{key}"), low=-1.0, high=1.0) for key in ("first_weight", "second_weight"))
    return Panel(T(f"panel.{name}"), x, y, curves)


def _by_direction(ways: dict[str, list[Ways]]) -> Panel:
    """Length of the way by the direction of the start."""
    curves = tuple(_lengths(name, rows) for name, rows in ways.items())
    return Panel(T("panel.direction"), Axis(T("axis.angle")), Axis(T("axis.length"), low=0.0), curves)


def _lengths(name: str, rows: list[Ways]) -> Curve:
    angles = [180.0 * i / STARTS for i in range(STARTS)]
    by_start = [[way.lengths[i] for way in rows] for i in range(STARTS)]
    low, high = zip(*map(t_interval, by_start), strict=True)
    return T.curve(name, angles, [statistics.fmean(row) for row in by_start], low=low, high=high)


LESSON = Lesson("zigzag", experiment, seconds=3.0)
