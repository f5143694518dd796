"""A perceptron multiplies, adds, and applies an activation: the lectures' small net, worked line by line.

Two inputs, two hidden sigmoid units and one sigmoid output, no biases. The lectures give the sum of the second hidden
unit, 0, and not its weights; 1 and 1 give it. Everything is done twice: by hand with the table of activations, and by
``torch.nn``, whose layers the probes read.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headwater.api import check
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.records.picture import Axis, Panel, Picture, Raster, Table
from headwater.theory import ACTIVATIONS

X = (1.0, -1.0)
HIDDEN = ((2.0, 1.0), (1.0, 1.0))
"""w₁, w₂ of the first hidden unit, w₃, w₄ of the second."""
OUTPUT = (1.0, -1.0)
"""w₅, w₆."""
ON_THE_BOARD = {"first": 0.731, "second": 0.5, "sum": 0.231, "output": 0.557}
PLACES = 3
ROUNDING = 1e-3  # what the rounding of one line to three places moves the last line by, at most
EXACT = 1e-15
SPAN, CELLS = 3.0, 61


def experiment() -> Outcome:
    """The chain as on the board, in full, and in PyTorch."""
    t = Texts("perceptron-forward")
    board, full = by_hand(PLACES), by_hand()
    read = _read_by_probes(network())
    checks = [t.within(name, board[name], value, value) for name, value in ON_THE_BOARD.items()]
    checks.append(t.within("full", full["output"], board["output"] - ROUNDING, board["output"] + ROUNDING))
    checks.append(t.within("torch", max(abs(full[name] - read[name]) for name in read), high=EXACT))
    values = {**full, "board": board["output"]}
    columns = (t("column.unit"), t("column.multiplied"), t("column.added"), t("column.activated"))
    rows = (
        (t("unit.first"), _written(HIDDEN[0], X), full["first_sum"], full["first"]),
        (t("unit.second"), _written(HIDDEN[1], X), full["second_sum"], full["second"]),
        (t("unit.output"), _written(OUTPUT, (full["first"], full["second"])), full["sum"], full["output"]),
    )
    panels = (_curve(t, full), _map(t))
    return Outcome(
        tuple(checks), values, (Picture(t("summary", **values), panels),), (Table(t("table"), columns, rows),)
    )


def network() -> nn.Sequential:
    """The net of the lectures in float64."""
    sizes = [len(X), len(HIDDEN), 1]
    first, last = (nn.Linear(fan_in, fan_out, bias=False, dtype=torch.float64) for fan_in, fan_out in pairwise(sizes))
    with torch.no_grad():
        first.weight.copy_(torch.tensor(HIDDEN))
        last.weight.copy_(torch.tensor([OUTPUT]))
    return nn.Sequential(first, nn.Sigmoid(), last, nn.Sigmoid())


def by_hand(places: int | None = None) -> dict[str, float]:
    """Multiply, add, activate; each line rounded to so many places before the next uses it, if asked for."""

    def noted(value: Any) -> float:
        return float(value) if places is None else round(float(value), places)

    sigmoid = ACTIVATIONS["sigmoid"].phi
    first_sum, second_sum = (noted(np.dot(weights, X)) for weights in HIDDEN)
    first, second = noted(sigmoid(first_sum)), noted(sigmoid(second_sum))
    total = noted(np.dot(OUTPUT, (first, second)))
    output = noted(sigmoid(total))
    return {
        "first_sum": first_sum,
        "second_sum": second_sum,
        "first": first,
        "second": second,
        "sum": total,
        "output": output,
    }


def _read_by_probes(model: nn.Module) -> dict[str, float]:
    """What ``check`` saw of each layer; of the hidden one, whose first unit is the larger, the largest and smallest."""

    def loss(module: nn.Module, batch: Tensor) -> Tensor:
        output: Tensor = module(batch).sum()
        return output

    flow = check(model, torch.tensor([X], dtype=torch.float64), loss).flow
    seen = {row.site.name: row.activation for row in flow.sites}
    found = {"first": seen["1"].max, "second": seen["1"].min, "sum": seen["2"].mean, "output": seen["3"].mean}
    return {name: math.nan if value is None else value for name, value in found.items()}


def _written(weights: tuple[float, ...], inputs: tuple[float, ...]) -> str:
    """Products and their sum, such as ``2·1 + 1·(-1)``."""
    factors = [(f"{weight:.4g}", f"{value:.4g}") for weight, value in zip(weights, inputs, strict=True)]
    return " + ".join("·".join(f"({part})" if part[0] == "-" else part for part in pair) for pair in factors)


def _curve(t: Texts, full: dict[str, float]) -> Panel:
    """The sigmoid, and where each unit stands on it."""
    grid = np.linspace(-SPAN, SPAN, 121)
    units = [("first", "first_sum", "first"), ("second", "second_sum", "second"), ("output", "sum", "output")]
    points = [t.curve(name, [full[place]], [full[height]], points=True) for name, place, height in units]
    sigmoid = t.curve("sigmoid", grid, ACTIVATIONS["sigmoid"].phi(grid), reference=True)
    return Panel(t("panel.units"), Axis(t("axis.sum")), t.axis("phi", low=0.0, high=1.0), (sigmoid, *points))


def _map(t: Texts) -> Panel:
    """The output for every pair of inputs."""
    side = torch.linspace(-SPAN, SPAN, CELLS, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    with torch.no_grad():
        outputs = network()(torch.stack([x, y], -1)).squeeze(-1)
    rows = tuple(tuple(row) for row in outputs.tolist())
    raster = Raster((-SPAN, SPAN), (-SPAN, SPAN), rows, t("raster"))
    here = t.curve("input", [X[0]], [X[1]], points=True)
    return Panel(t("panel.map"), t.axis("first_input"), t.axis("second_input"), (here,), raster)


LESSON = Lesson("perceptron-forward", experiment, seconds=0.1)
