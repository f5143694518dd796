"""The error travels backward: an early weight's gradient needs what comes after it, and parameters move against it.

The lectures' small net (``perceptron-forward``) with the loss ½(a - 1)². Each gradient is the product of the factors
that back-propagation multiplies (Rumelhart, Hinton and Williams 1986, Nature 323), put together by hand from the table
of activations, and held against autograd, central differences and what the probes measure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from headwater.api import check
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import linear
from headwater.lessons.perceptron_forward import HIDDEN, OUTPUT, X, by_hand, network
from headwater.lessons.training import sgd
from headwater.records.picture import Axis, Curve, Panel, Picture, Table
from headwater.theory import ACTIVATIONS

TARGET = 1.0
LEARNING_RATE = 0.5
STEPS = 30
EXACT = 1e-9
NUDGE = 1e-5  # of the central differences: their error, in NUDGE² and in 1e-16 / NUDGE, is then about 1e-11
NAMES = ("w₁", "w₂", "w₃", "w₄", "w₅", "w₆")


def experiment() -> Outcome:
    """Every factor of every gradient, three other ways to the same numbers, and steps with and against them."""
    t = Texts("backprop")
    factors = factors_by_hand()
    by_product = [math.prod(factor for factor in row if factor is not None) for row in factors]
    by_autograd, by_differences = _autograd(network()), _central_differences()
    probed = check(network(), _batch(), _loss).flow.parameters
    probed_norm = math.hypot(*(row.grad_norm or math.nan for row in probed))
    down, up = _descend(LEARNING_RATE), _descend(-LEARNING_RATE)
    cut = network()
    with torch.no_grad():
        linear(cut, 2).weight[0, 0] = 0.0
    without_w5 = _autograd(cut)
    checks = (
        t.within("autograd", _apart(by_product, by_autograd), high=EXACT),
        t.within("differences", _apart(by_product, by_differences), high=EXACT),
        t.within("probed", abs(probed_norm - math.hypot(*by_product)), high=EXACT),
        t.within("needs_later", max(map(abs, without_w5[:2])), 0.0, 0.0),
        t.true("falls", down[1] < down[0]),
        t.true("rises", up[1] > up[0]),
    )
    values = {
        "error": -factors[0][0] if factors[0][0] else math.nan,
        "first": by_product[0],
        "last": by_product[4],
        "before": down[0],
        "after": down[1],
        "against": up[1],
        "end": down[-1],
        "steps": STEPS,
        "learning_rate": LEARNING_RATE,
    }
    rows = zip(NAMES, factors, by_product, by_autograd, by_differences, strict=True)
    table = Table(
        t("table"),
        tuple(t(f"column.{name}") for name in ("weight", "error", "slope_out", "later", "slope", "input", *WAYS)),
        tuple((name, *row, *ways) for name, row, *ways in rows),
    )
    panels = (
        Panel(t("panel.back"), Axis(t("axis.factors")), Axis(t("axis.gradient")), tuple(_carried(t, factors))),
        Panel(t("panel.steps"), t.axis("step"), t.axis("loss", low=0.0), _losses(t, down, up)),
    )
    return Outcome(checks, values, (Picture(t("summary", **values), panels),), (table,))


WAYS = ("product", "autograd", "differences")


def factors_by_hand() -> list[tuple[float | None, ...]]:
    """The factors of ∂L/∂w of w₁ … w₆, from the loss backward: ∂L/∂a, σ′, and w₅ or w₆ and σ′ where there is more."""
    forward = by_hand()
    slope = ACTIVATIONS["sigmoid"].derivative
    sums = np.array([forward["first_sum"], forward["second_sum"], forward["sum"]])
    *slopes, slope_out = (float(value) for value in slope(sums))
    error = forward["output"] - TARGET
    early = [(error, slope_out, OUTPUT[unit], slopes[unit], x) for unit in range(len(HIDDEN)) for x in X]
    late = [(error, slope_out, None, None, forward[name]) for name in ("first", "second")]
    return [*early, *late]


def _batch() -> tuple[Tensor, Tensor]:
    return torch.tensor([X], dtype=torch.float64), torch.tensor([[TARGET]], dtype=torch.float64)


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    loss: Tensor = 0.5 * (model(x) - y).square().sum()
    return loss


def _autograd(model: nn.Module) -> list[float]:
    """∂L/∂w₁ … ∂L/∂w₆ as PyTorch finds them."""
    gradients = torch.autograd.grad(_loss(model, _batch()), list(model.parameters()))
    return [float(value) for gradient in gradients for value in gradient.flatten()]


def _central_differences() -> list[float]:
    """The same from the loss alone: each weight a little more and a little less."""
    model, batch = network(), _batch()
    found = []
    with torch.no_grad():
        for weights in model.parameters():
            for place in np.ndindex(*weights.shape):
                weights[place] += NUDGE
                more = float(_loss(model, batch))
                weights[place] -= 2 * NUDGE
                less = float(_loss(model, batch))
                weights[place] += NUDGE
                found.append((more - less) / (2 * NUDGE))
    return found


def _descend(learning_rate: float) -> list[float]:
    """The loss before each of some steps w ← w - α ∂L/∂w and after the last; a negative rate climbs."""
    model, batch = network(), _batch()
    optimizer = sgd(abs(learning_rate))(model.parameters())
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = _loss(model, batch)
        losses.append(loss.item())
        (loss if learning_rate > 0 else -loss).backward()
        optimizer.step()
    return [*losses, float(_loss(model, batch).detach())]


def _apart(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _carried(t: Texts, factors: list[tuple[float | None, ...]]) -> Iterator[Curve]:
    """The product so far along the way to w₁, to w₃ and to w₅."""
    for name, row in (("w1", factors[0]), ("w3", factors[2]), ("w5", factors[4])):
        way = np.cumprod([factor for factor in row if factor is not None])
        yield t.curve(name, range(1, len(way) + 1), way)


def _losses(t: Texts, down: list[float], up: list[float]) -> tuple[Curve, ...]:
    steps = range(STEPS + 1)
    return t.curve("down", steps, down), t.curve("up", steps, up)


LESSON = Lesson("backprop", experiment, seconds=0.1)
