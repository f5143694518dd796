"""ReLU kills units that see negative inputs only; leaky ReLU revives them.

Units are killed in two ways: by biases far below 0, and by a few steps at a rate much too large. The probe counts the
units whose derivative is 0 for every sample of the data. Then the very same weights are trained on, with ReLU and with
a leaky ReLU put in its place. Maas, Hannun, Ng 2013, "Rectifier nonlinearities improve neural network acoustic models",
section 2.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, changed, deep
from headwater.lessons.training import Trained, adam, train
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, Panel, Picture, Table

DEPTH = 3
SEEDS = tuple(range(10))
BIAS = -10.0
RATE, RATE_STEPS = 0.3, 30
GENTLE, STEPS = 1e-2, 150  # of the training afterwards
LEAK = 0.1  # the lecture's; torch's own default is 0.01
DEAD, ALIVE = 0.5, 0.05  # shares of units
BINS = 40
SMOOTH = 10  # steps of a curve's point
T = Texts("dying-relu")


@dataclass(frozen=True)
class Revival:
    """What became of a network with dead units, trained on with one activation.

    Attributes:
        dead: Share of units of the last hidden layer whose derivative is 0 for all samples.
        asleep: Share of them whose input is positive for no sample.
        trained: The training.
        inputs: (samples, units) that the last hidden activation gets.
    """

    dead: float
    asleep: float
    trained: Trained
    inputs: Tensor


def experiment() -> Outcome:
    """Kill, then train on: each cause, each activation, under each seed."""
    data = digits()
    starts = {cause: [kill(data, seed) for seed in SEEDS] for cause, kill in CAUSES.items()}
    before = {cause: [_dead(model, data) for model in models] for cause, models in starts.items()}
    found = {
        (cause, arm): [_revival(change(model), data, seed) for seed, model in enumerate(models)]
        for cause, models in starts.items()
        for arm, change in ARMS.items()
    }
    checks = (
        *(T.over_seeds(f"dead_{cause}", before[cause], low=DEAD) for cause in CAUSES),
        *(T.over_seeds(f"stays_{cause}", [one.dead for one in found[cause, "relu"]], low=DEAD) for cause in CAUSES),
        *(T.over_seeds(f"leaky_{cause}", [one.dead for one in found[cause, "leaky"]], high=ALIVE) for cause in CAUSES),
        *(T.over_seeds(f"recovers_{cause}", _gains(found, cause, "leaky"), low=0.0) for cause in CAUSES),
        T.over_seeds("wakes_bias", [one.asleep for one in found["bias", "tenth"]], high=ALIVE),
        T.over_seeds("wakes_rate", _woken(found), low=0.0),
    )
    values: dict[str, Value] = {"bias": BIAS, "rate": RATE, "rate_steps": RATE_STEPS, "steps": STEPS, "leak": LEAK}
    for cause in CAUSES:
        values[f"{cause}_dead"] = 100 * statistics.fmean(before[cause])
        for arm in ARMS:
            values[f"{cause}_{arm}"] = 100 * statistics.fmean(one.trained.test for one in found[cause, arm])
            values[f"{cause}_{arm}_asleep"] = 100 * statistics.fmean(one.asleep for one in found[cause, arm])
    columns = tuple(T(f"column.{key}") for key in ("cause", "activation", "before", "dead", "asleep", "train", "test"))
    rows = tuple(_row(cause, arm, before[cause], found[cause, arm]) for cause, arm in found)
    losses = tuple(_losses(cause, {arm: found[cause, arm] for arm in ARMS}) for cause in CAUSES)
    inputs = _last_inputs(starts["bias"][0], data)
    panels = (_histogram(inputs, found["bias", "tenth"][0].inputs), *losses)
    picture = Picture(T("summary", **values), panels)
    return Outcome(checks, values, (picture,), (Table(T("table"), columns, rows),), SEEDS)


def _by_bias(data: Split, seed: int) -> nn.Sequential:
    """A network whose hidden units begin with a bias far below 0."""
    model = chain(deep(DEPTH), "relu", "init.he", seed=seed)
    with torch.no_grad():
        for layer in list(model)[:-1]:
            if isinstance(layer, nn.Linear):
                layer.bias.fill_(BIAS)
    return model


def _by_rate(data: Split, seed: int) -> nn.Sequential:
    """A network after a few steps that were much too large."""
    model = chain(deep(DEPTH), "relu", "init.he", seed=seed)
    train(model, data, steps=RATE_STEPS, optimizer=adam(RATE), seed=seed)
    return model


def _tenth(model: nn.Sequential) -> nn.Sequential:
    """Leaky ReLU at the lecture's slope."""
    leaky = changed(model, LEAKY)
    for layer in leaky.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = LEAK
    return leaky


LEAKY = "activation.leaky_relu"
CAUSES: dict[str, Callable[[Split, int], nn.Sequential]] = {"bias": _by_bias, "rate": _by_rate}
ARMS: dict[str, Callable[[nn.Sequential], nn.Sequential]] = {
    "relu": copy.deepcopy,
    "leaky": lambda model: changed(model, LEAKY),
    "tenth": _tenth,
}


def _revival(model: nn.Sequential, data: Split, seed: int) -> Revival:
    """Train on at a rate that is not too large."""
    trained = train(model, data, steps=STEPS, optimizer=adam(GENTLE), seed=seed)
    inputs = _last_inputs(model, data)
    return Revival(_dead(model, data), float((inputs <= 0).all(0).double().mean()), trained, inputs)


def _dead(model: nn.Sequential, data: Split) -> float:
    """Share of dead units of the last hidden layer over all training samples, as the probe has it."""
    sites = check(model, (data.x, data.y), cross_entropy, sites=(nn.ReLU, nn.LeakyReLU)).flow.sites
    dead = sites[-1].dead_fraction
    return math.nan if dead is None else dead


def _last_inputs(model: nn.Sequential, data: Split) -> Tensor:
    """(samples, units) that the last hidden activation gets."""
    with torch.no_grad():
        inputs: Tensor = model[:-2](data.x)
    return inputs


def _gains(found: dict[tuple[str, str], list[Revival]], cause: str, arm: str) -> list[float]:
    """Held-out accuracy over that of ReLU, per seed."""
    pairs = zip(found[cause, arm], found[cause, "relu"], strict=True)
    return [one.trained.test - other.trained.test for one, other in pairs]


def _woken(found: dict[tuple[str, str], list[Revival]]) -> list[float]:
    """Share of units killed by the large rate that the larger slope wakes and the smaller one does not, per seed."""
    pairs = zip(found["rate", "leaky"], found["rate", "tenth"], strict=True)
    return [small.asleep - large.asleep for small, large in pairs]


def _row(cause: str, arm: str, before: Sequence[float], found: Sequence[Revival]) -> tuple[Value | Message, ...]:
    numbers = ((one.dead, one.asleep, one.trained.train, one.trained.test) for one in found)
    means = (statistics.fmean(column) for column in zip(*numbers, strict=True))
    return T(f"cause.{cause}"), T(f"curve.{arm}"), statistics.fmean(before), *means


def _histogram(before: Tensor, after: Tensor) -> Panel:
    """Inputs of the last hidden activation: all left of 0, and on both sides once the units are awake."""
    low = min(float(before.min()), float(after.min()))
    high = max(float(before.max()), float(after.max()))
    curves = tuple(_bars(key, inputs, low, high) for key, inputs in (("before", before), ("after", after)))
    return Panel(T("panel.inputs"), Axis(T("axis.input")), T.axis("share", low=0.0), curves)


def _bars(key: str, inputs: Tensor, low: float, high: float) -> Curve:
    counts = torch.histc(inputs, BINS, low, high)
    width = (high - low) / BINS
    return T.curve(key, [low + width * (i + 0.5) for i in range(BINS)], (counts / counts.sum()).tolist(), bars=True)


def _losses(cause: str, arms: dict[str, list[Revival]]) -> Panel:
    """Loss by step, means over seeds and neighbouring steps."""
    curves = []
    for arm, found in arms.items():
        losses = torch.tensor([one.trained.losses for one in found]).mean(0).reshape(-1, SMOOTH).mean(1)
        curves.append(T.curve(arm, range(SMOOTH, STEPS + 1, SMOOTH), losses.log10().tolist()))
    return Panel(T(f"panel.{cause}"), T.axis("step"), T.axis("loss", log10=True), tuple(curves))


LESSON = Lesson("dying-relu", experiment, seconds=6.0)
