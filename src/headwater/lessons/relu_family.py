"""Leaky max(0.1x, x), PReLU whose slope is learned, ELU, ReLU6 and the rest; usually ReLU is enough.

Each definition is written out and held against torch on a grid. The gradient of PReLU's slope is the sum of (gradient
of the output) · z over the negative z; that and a central difference are held against autograd. Then the same network
is trained with each. Sources: Maas, Hannun, Ng 2013 (leaky); He et al. 2015, arXiv:1502.01852 (PReLU); Clevert et al.
2016, arXiv:1511.07289 (ELU); Krizhevsky 2010 (ReLU6); Klambauer et al. 2017, arXiv:1706.02515 (SELU); Hendrycks and
Gimpel 2016, arXiv:1606.08415 (GELU, SiLU); Misra 2019, arXiv:1908.08681 (Mish).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from headwater.lessons.data import digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, changed, deep, made
from headwater.lessons.training import train
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory.activation import Array

X = np.linspace(-8.0, 8.0, 1601)
EXACT = 1e-6
LEAK = 0.1  # the lecture's; torch's own default is 0.01
SLOPE = 0.25  # PReLU's at the start
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

DEFINITIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(0, x),
    "leaky_relu": lambda x: np.maximum(LEAK * x, x),
    "prelu": lambda x: np.maximum(0, x) + SLOPE * np.minimum(0, x),
    "relu6": lambda x: np.minimum(np.maximum(0, x), 6),
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
    "selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * (np.exp(np.minimum(x, 0)) - 1)),
    "gelu": lambda x: x * (1 + special.erf(x / 2**0.5)) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "softplus": lambda x: np.log(1 + np.exp(x)),
}
IN_THE_PICTURE = ("relu", "leaky_relu", "prelu", "elu", "relu6", "gelu")

DEPTH, DEEP = 3, 10
IN_THE_DEEP_RACE = ("relu", "prelu", "elu")
STEPS = 150
AHEAD = 0.02  # of accuracy, that another activation may be better where ReLU is enough
SEEDS = tuple(range(20))
T = Texts("relu-family")


@dataclass(frozen=True)
class SlopeGradient:
    """How far the gradient of a loss with respect to PReLU's slopes is from two other ways to it, relative.

    Attributes:
        formula: From Σ (gradient of the output) · z over negative z.
        difference: From a central difference.
    """

    formula: float
    difference: float


@dataclass(frozen=True)
class Race:
    """The same network trained with several activations.

    Attributes:
        accuracies: Held out, by activation, per seed.
        trained: The networks.
    """

    accuracies: dict[str, list[float]]
    trained: dict[str, list[nn.Sequential]]

    @property
    def gains(self) -> dict[str, list[float]]:
        """Accuracy over that of ReLU from the same seed."""
        relu = self.accuracies["relu"]
        others = {name: row for name, row in self.accuracies.items() if name != "relu"}
        return {name: [a - b for a, b in zip(row, relu, strict=True)] for name, row in others.items()}

    @property
    def clearly_better(self) -> list[str]:
        """Activations whose 95 % interval of the gain lies above 0."""
        return [name for name, row in self.gains.items() if t_interval(row)[0] > 0]


def experiment() -> Outcome:
    """Definitions, the slope's gradient, and two races."""
    errors = {name: _error(name) for name in DEFINITIONS}
    slopes = [_slope_gradient(seed) for seed in SEEDS]
    shallow, deep_ = _race(DEPTH, tuple(DEFINITIONS)), _race(DEEP, IN_THE_DEEP_RACE)
    moved = [_moved(model) for model in shallow.trained["prelu"]]
    gains = shallow.gains
    best, worst = (pick(gains, key=lambda name: statistics.fmean(gains[name])) for pick in (max, min))
    checks = (
        T.within("definitions", max(errors.values()), 0.0, EXACT),
        T.within("slope_formula", max(one.formula for one in slopes), 0.0, EXACT),
        T.within("slope_difference", max(one.difference for one in slopes), 0.0, EXACT),
        T.over_seeds("slope_moves", moved, low=0.0),
        T.over_seeds("enough", gains[best], high=AHEAD),
        T.over_seeds("not_enough", deep_.gains["elu"], low=0.0),
    )
    values = {
        "error": max(errors.values()),
        "count": len(DEFINITIONS),
        "others": len(gains),
        "better": len(shallow.clearly_better),
        "relu": 100 * statistics.fmean(shallow.accuracies["relu"]),
        **_gain("best", gains[best]),
        **_gain("worst", gains[worst]),
        **_gain("elu", deep_.gains["elu"]),
        "deep_relu": 100 * statistics.fmean(deep_.accuracies["relu"]),
        "moved": statistics.fmean(moved),
        "depth": DEPTH,
        "deep": DEEP,
        "steps": STEPS,
        "slope": SLOPE,
    }
    picture = Picture(T("summary", **values), (_functions(), _panel("shallow", shallow), _panel("deep", deep_)))
    tables = tuple(_table(name, race, errors) for name, race in (("shallow", shallow), ("deep", deep_)))
    return Outcome(checks, values, (picture,), tables, SEEDS)


def _race(depth: int, names: Sequence[str]) -> Race:
    """Train a network of each, under each seed."""
    trained = {name: [_network(name, depth, seed) for seed in SEEDS] for name in names}
    accuracies = {name: [_accuracy(model, seed) for seed, model in enumerate(row)] for name, row in trained.items()}
    return Race(accuracies, trained)


def _gain(name: str, gains: Sequence[float]) -> dict[str, float]:
    """A gain in percentage points, and its interval."""
    numbers = (statistics.fmean(gains), *t_interval(gains))
    return {f"{name}_{part}": 100 * number for part, number in zip(("gain", "low", "high"), numbers, strict=True)}


def _module(name: str) -> nn.Module:
    """A module of torch, at the lecture's slope."""
    return nn.LeakyReLU(LEAK) if name == "leaky_relu" else made(name)


def _error(name: str) -> float:
    """Largest difference between the definition and torch on the grid."""
    with torch.no_grad():
        computed = _module(name).double()(torch.from_numpy(X)).numpy()
    return float(np.abs(computed - DEFINITIONS[name](X)).max())


def _network(name: str, depth: int, seed: int) -> nn.Sequential:
    """One hidden activation throughout, He's weights for its own gain."""
    model = chain(deep(depth), name, seed=seed)
    for module in model:
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = LEAK
    return changed(model, "init.he", seed=seed)


def _accuracy(model: nn.Module, seed: int) -> float:
    """Held out, after training."""
    return train(model, digits(), steps=STEPS, seed=seed).test


def _slope_gradient(seed: int) -> SlopeGradient:
    """Autograd against the formula and a central difference, in float64, over all slopes of a network."""
    model, data = _network("prelu", DEPTH, seed).double(), digits()
    x, y = data.x.double(), data.y
    before: dict[nn.Module, Tensor] = {}
    after: dict[nn.Module, Tensor] = {}
    signal = x
    for module in model:
        if isinstance(module, nn.PReLU):
            before[module] = signal.detach()
        signal = module(signal)
        if isinstance(module, nn.PReLU):
            after[module] = signal
            signal.retain_grad()
    nn.functional.cross_entropy(signal, y).backward()
    slopes = [module for module in model if isinstance(module, nn.PReLU)]
    found = torch.stack([_grad(module.weight).sum() for module in slopes])
    formula = torch.stack([(_grad(after[module]) * before[module].clamp(max=0)).sum() for module in slopes])
    difference = torch.tensor([_central(model, module.weight, x, y) for module in slopes], dtype=torch.float64)
    scale = found.abs().max()
    return SlopeGradient(*(float((found - other).abs().max() / scale) for other in (formula, difference)))


def _grad(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise RuntimeError("no gradient arrived at a slope of PReLU or its output.")
    return tensor.grad


def _central(model: nn.Module, slope: Tensor, x: Tensor, y: Tensor, step: float = 1e-7) -> float:
    """(L(a + h) - L(a - h)) / 2h."""
    losses = []
    with torch.no_grad():
        for shift in (step, -2 * step):
            slope += shift
            losses.append(float(nn.functional.cross_entropy(model(x), y)))
        slope += step
    return (losses[0] - losses[1]) / (2 * step)


def _moved(model: nn.Module) -> float:
    """How far training moved the slopes, on average."""
    slopes = [float(module.weight.detach()) for module in model.modules() if isinstance(module, nn.PReLU)]
    return statistics.fmean(abs(slope - SLOPE) for slope in slopes)


def _functions() -> Panel:
    shown = X[np.abs(X) <= 4]
    curves = tuple(T.curve(name, shown, DEFINITIONS[name](shown)) for name in IN_THE_PICTURE)
    return Panel(T("panel.phi"), T.axis("x"), T.axis("phi"), curves)


def _panel(key: str, race: Race) -> Panel:
    """Accuracy of each with its interval, beside ReLU's mean."""
    mean = statistics.fmean(race.accuracies["relu"])
    level = T.curve("level", (1, len(race.accuracies)), (mean, mean), reference=True)
    points = tuple(_point(place, name, row) for place, (name, row) in enumerate(race.accuracies.items(), 1))
    return Panel(T(f"panel.{key}"), Axis(T("axis.activation")), T.axis("accuracy"), (*points, level))


def _point(place: int, name: str, accuracies: list[float]) -> Curve:
    low, high = t_interval(accuracies)
    return T.curve(name, (place,), (statistics.fmean(accuracies),), points=True, low=(low,), high=(high,))


def _table(key: str, race: Race, errors: dict[str, float]) -> Table:
    """Accuracies and what they are more than ReLU's, with intervals."""
    columns = tuple(T(f"column.{name}") for name in ("activation", "error", "accuracy", "gain", "low", "high"))
    rows = tuple(_row(name, errors[name], row, race.gains.get(name)) for name, row in race.accuracies.items())
    return Table(T(f"table.{key}"), columns, rows)


def _row(name: str, error: float, accuracies: list[float], gains: list[float] | None) -> tuple[Value | Message, ...]:
    compared = (statistics.fmean(gains), *t_interval(gains)) if gains else (None, None, None)
    return T(f"curve.{name}"), error, statistics.fmean(accuracies), *compared


LESSON = Lesson("relu-family", experiment, seconds=30.0)
