"""A wrong starting value saturates a unit: what is left of its gradient is 0.00…01, and it does not learn.

The lecture's neuron, x = 0.01 and w = 100 with a bias of 50, through the sigmoid; then a network on digits whose hidden
units all start with that bias. σ′(51) is small and not zero; that automatic differentiation still gives exactly zero
is rounding: it computes σ(1 - σ), and σ(51) has been rounded to 1.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headwater.api import apply, check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, linear
from headwater.lessons.training import Trained, train
from headwater.records import SiteFlow
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.theory import ACTIVATIONS

X, WEIGHT, BIAS = 0.01, 100.0, 50.0
EXPECTED = 7.1e-23  # σ′(51)
SIZES = (64, 100, 100, 10)
HIDDEN = (0, 2)  # places of the layers that start saturated
STEPS = 300
SEEDS = (0, 1, 2, 3, 4)
CHANCE, LEARNED = 0.2, 0.9
GRID = np.linspace(-10.0, 60.0, 281)
SMOOTH = 10  # steps of a curve's point
T = Texts("bad-init")


@dataclass(frozen=True)
class Story:
    """One network: stuck, then re-initialised.

    Attributes:
        stuck: Training from the saturated start.
        frozen: Share of the hidden layers' weights and biases that are bit-identical after it.
        revived: Training of the same network after its weights were drawn anew.
        saturated: Share of the hidden units' outputs that were saturated at the start.
    """

    stuck: Trained
    frozen: float
    revived: Trained
    saturated: float


def experiment() -> Outcome:
    """The neuron with and without its bias, then whole layers."""
    plain, biased = _neuron(0.0), _neuron(BIAS)
    autograd = _autograd_slope(WEIGHT * X + BIAS)
    data = digits()
    stories = [_story(data, seed) for seed in SEEDS]
    revived, stuck = [story.revived.train for story in stories], [story.stuck.train for story in stories]
    slope = biased.derivative_rms or 0.0
    checks = (
        T.within("slope", slope, 0.995 * EXPECTED, 1.005 * EXPECTED),
        T.within("rounded", autograd, 0.0, 0.0),
        T.over_seeds("stuck", stuck, high=CHANCE),
        T.over_seeds("frozen", [story.frozen for story in stories], low=1.0),
        T.over_seeds("revived", revived, low=LEARNED),
        T.over_seeds("gain", [after - before for after, before in zip(revived, stuck, strict=True)], low=0.0),
    )
    values = {
        "x": X,
        "weight": WEIGHT,
        "bias": BIAS,
        "sum": _mean_input(biased),
        "slope_plain": plain.derivative_rms,
        "slope": slope,
        "autograd": autograd,
        "steps": STEPS,
        "saturated": 100 * statistics.fmean(story.saturated for story in stories),
        "frozen": 100 * statistics.fmean(story.frozen for story in stories),
        "stuck": 100 * statistics.fmean(stuck),
        "revived": 100 * statistics.fmean(revived),
        "revived_test": 100 * statistics.fmean(story.revived.test for story in stories),
    }
    columns = tuple(T(f"column.{key}") for key in ("bias", "sum", "slope"))
    rows = tuple((bias, _mean_input(row), row.derivative_rms) for bias, row in ((0.0, plain), (BIAS, biased)))
    summary = T("summary", **values)
    return Outcome(
        checks, values, (Picture(summary, (_slopes(), _losses(stories))),), (Table(T("table"), columns, rows),), SEEDS
    )


def _neuron(bias: float) -> SiteFlow:
    """The lecture's neuron, as the probes see its sigmoid."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    nn.init.constant_(linear(model, 0).weight, WEIGHT)
    nn.init.constant_(linear(model, 0).bias, bias)
    return check(model, torch.tensor([[X]]), lambda model, x: model(x).sum()).flow.site("1")


def _mean_input(row: SiteFlow) -> float | None:
    return row.input.mean if row.input is not None else None


def _autograd_slope(z: float) -> float:
    """σ′ as automatic differentiation computes it, in float64."""
    at = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(at), at)
    return float(slope)


def _story(data: Split, seed: int) -> Story:
    model = chain(SIZES, "sigmoid", "init.xavier", seed=seed)
    for place in HIDDEN:
        nn.init.constant_(linear(model, place).bias, BIAS)
    flow = check(model, (data.x, data.y), cross_entropy).flow
    shares = [row.saturated_fraction for row in flow.sites if row.saturated_fraction is not None]
    before = _hidden(model)
    stuck = train(model, data, steps=STEPS, seed=seed)
    after = _hidden(model)
    revived = train(apply(model, "init.xavier", seed=seed), data, steps=STEPS, seed=seed)
    return Story(stuck, float((before == after).double().mean()), revived, statistics.fmean(shares))


def _hidden(model: nn.Sequential) -> Tensor:
    """Every weight and bias of the hidden layers."""
    return torch.cat([p.detach().clone().flatten() for place in HIDDEN for p in model[place].parameters()])


def _slopes() -> Panel:
    """σ′ on a log axis, and where the neuron stands with its bias and without."""
    derivative = ACTIVATIONS["sigmoid"].derivative
    at = np.array([WEIGHT * X, WEIGHT * X + BIAS])
    curves = (
        T.curve("derivative", GRID, [log10(float(slope)) for slope in derivative(GRID)]),
        T.curve("neuron", at, [log10(float(slope)) for slope in derivative(at)], points=True),
    )
    return Panel(T("panel.slope"), T.axis("x"), T.axis("slope", log10=True), curves)


def _losses(stories: list[Story]) -> Panel:
    """Both trainings, means over the seeds."""
    curves = (
        _loss("stuck", [story.stuck for story in stories]),
        _loss("revived", [story.revived for story in stories]),
    )
    return Panel(T("panel.training"), T.axis("step"), T.axis("loss", low=0.0), curves)


def _loss(name: str, runs: list[Trained]) -> Curve:
    by_step = [statistics.fmean(losses) for losses in zip(*(run.losses for run in runs), strict=True)]
    smooth = [statistics.fmean(by_step[i : i + SMOOTH]) for i in range(0, len(by_step), SMOOTH)]
    return T.curve(name, range(SMOOTH, SMOOTH * len(smooth) + 1, SMOOTH), smooth)


LESSON = Lesson("bad-init", experiment, seconds=2.0)
