"""What was there before, and still is: reservoirs, random features, radial units, margins, local experts, echo states.

Marks, set by task before any training: digits 0.8, tumours 0.88, wines 0.85, spirals 0.8, waves R² 0.6, Friedman's
function 0.6; a straight line through the digits counts as learnt by the same mark.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    normal,
    redrawn,
    rmsprop,
    sgd,
    squared_error,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Echo(nn.Module):
    """A recurrent net that stays as drawn, and a readout that learns (Jaeger 2001)."""

    def __init__(self, size: int = 120, radius: float = 0.9, leak: float = 0.5, into: float = 0.5) -> None:
        super().__init__()
        self.into, self.back = nn.Linear(1, size), nn.Linear(size, size, bias=False)
        nn.init.uniform_(self.into.weight, -into, into)
        nn.init.normal_(self.back.weight, 0.0, radius / size**0.5)  # the circular law: this is its spectral radius
        for fixed in (self.into, self.back):
            fixed.requires_grad_(False)
        self.readout = nn.Linear(size, 1)
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.back.in_features)
        for now in x.unbind(1):
            h = (1 - self.leak) * h + self.leak * torch.tanh(self.into(now) + self.back(h))
        return self.readout(h)


class Cosines(nn.Module):
    """Random Fourier features of a Gaussian kernel, and a linear map (Rahimi and Recht 2007)."""

    def __init__(
        self, inputs: int, outputs: int, features: int = 300, gamma: float = 0.1, learnt: bool = False
    ) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, features)
        nn.init.normal_(self.project.weight, 0.0, gamma)
        nn.init.uniform_(self.project.bias, 0.0, 2 * torch.pi)
        self.project.requires_grad_(learnt)
        self.out = nn.Linear(features, outputs)
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.out((2.0 / self.features) ** 0.5 * torch.cos(self.project(x)) * 8)


class Radial(nn.Module):
    """Units that answer near a place of their own (Broomhead and Lowe 1988)."""

    def __init__(self, inputs: int, outputs: int, units: int = 60, spread: float = 1.0, width: float = 1.0) -> None:
        super().__init__()
        self.centres = nn.Parameter(spread * torch.randn(units, inputs))
        self.log_width = nn.Parameter(torch.full((units,), float(width)).log())
        self.out = nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.exp(-torch.cdist(x, self.centres).square() / (2 * self.log_width.exp().square())))


class Local(nn.Module):
    """Linear models, each for its region, with soft borders (Jacobs et al. 1991)."""

    def __init__(self, inputs: int, outputs: int, models: int = 6, cut: bool = False) -> None:
        super().__init__()
        self.gate, self.models = nn.Linear(inputs, models), nn.Linear(inputs, models * outputs)
        self.outputs, self.cut = outputs, cut

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(1)[..., None]
        each = self.models(x).view(len(x), -1, self.outputs)
        return (weights * (each.detach() if self.cut else each)).sum(1)


class Products(nn.Module):
    """Pairs of features by factors, as a factorization machine has them, on numbers (Rendle 2010)."""

    def __init__(self, inputs: int, outputs: int, factors: int = 8, spread: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.factors = nn.Parameter(spread * torch.randn(outputs, inputs, factors))

    def forward(self, x: Tensor) -> Tensor:
        square = torch.einsum("ni,oif->nof", x, self.factors).square()
        return self.linear(x) + 0.5 * (square - torch.einsum("ni,oif->nof", x.square(), self.factors.square())).sum(2)


def perceptron(
    inputs: int = 64, outputs: int = 10, hidden: int = 30, act: type[nn.Module] = nn.Sigmoid, layers: int = 1
) -> nn.Sequential:
    """Sigmoids between input and output, as in the textbook (Rumelhart et al. 1986)."""
    sizes = [inputs] + [hidden] * layers
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), act()]
    return nn.Sequential(*parts, nn.Linear(hidden, outputs))


def straight(inputs: int = 64, outputs: int = 10) -> nn.Linear:
    """A linear map alone."""
    return nn.Linear(inputs, outputs)


def hinge(model: Any, batch: Any) -> Tensor:
    """The margin of several classes (Crammer and Singer 2001)."""
    return F.multi_margin_loss(model(batch[0]), batch[1])


def ridge(model: Any, batch: Any) -> Tensor:
    """Logistic regression with its penalty in the loss."""
    return F.cross_entropy(model(batch[0]), batch[1]) + 1e-3 * sum(p.square().sum() for p in model.parameters())


def squares(model: Any, batch: Any) -> Tensor:
    """Squared error of one-hot targets, halved and summed over classes, as in the textbook."""
    return 0.5 * (model(batch[0]) - F.one_hot(batch[1], 10)).square().sum(1).mean()


healthy = healthy_of("classic", task=data.digits, optimizer=adam(5e-3), steps=150, batch_size=64)
WAVES: dict[str, Any] = {"network": Echo, "task": data.forecast, "loss": squared_error, "metric": explained}
ARMS: dict[str, Any] = {"task": data.spirals, "inputs": 2, "outputs": 2}
TUMOURS: dict[str, Any] = {
    "task": data.cancer,
    "inputs": 30,
    "outputs": 1,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
NUMBERS: dict[str, Any] = {
    "task": data.friedman,
    "inputs": 10,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}
DIGITS: dict[str, Any] = {"inputs": 64, "outputs": 10}

echo = healthy("echo", 0.6, 0.0, optimizer=adam(1e-2), **WAVES)
cosines = healthy("cosines", 0.8, 0.1, network=Cosines, optimizer=sgd(0.3, momentum=0.9), **DIGITS)
cosines_learnt = healthy(
    "cosines-learnt", 0.8, 0.5, network=Cosines, learnt=True, features=40, gamma=1.0, optimizer=adam(2e-2), **ARMS
)
radial = healthy("radial", 0.8, 0.5, network=Radial, width=0.5, optimizer=adam(2e-2), **ARMS)
local = healthy("local", 0.6, 0.0, network=Local, optimizer=rmsprop(1e-2), **(NUMBERS | {"steps": 200}))
products = healthy("products", 0.88, 0.63, network=Products, optimizer=adagrad(5e-2), **TUMOURS)
linear_hinge = healthy("linear-hinge", 0.8, 0.1, network=straight, loss=hinge, optimizer=sgd(0.3))
linear_ridge = healthy(
    "linear-ridge", 0.85, 0.4, network=straight, task=data.wine, inputs=13, outputs=3, loss=ridge, batch_size=142
)
textbook = healthy("textbook", 0.8, 0.1, network=perceptron, loss=squares, optimizer=sgd(0.3, momentum=0.5), steps=500)
margins = healthy("margins", 0.8, 0.1, network=perceptron, act=nn.Softplus, loss=hinge, optimizer=adamw(1e-2))

# Units that answer only where no data are.
FAR_CENTRES = Fault(
    ("vanishing", "dead_units", "underflow", "bad_init_large", "saturation"),
    ("init_mismatch", "weights_too_large", "numeric_underflow", "saturated_activation"),
)

PROGRAMS = (
    echo,
    echo.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    echo.but("thousands", kinds.UNSCALED, task=tasks.waves_in_thousands),
    cosines,
    cosines_learnt,
    cosines_learnt.but("never-learnt", kinds.FROZEN.at("project"), learnt=False),
    radial,
    radial.but("centres-far", FAR_CENTRES, spread=60.0),
    local,
    local.but("models-cut", kinds.DETACHED.at("models"), cut=True),
    products,
    linear_hinge,
    linear_ridge,
    textbook,
    textbook.but("saturated", kinds.SATURATED.at("0", "1"), change=redrawn(normal(8.0), "0")),
    textbook.but("many-layers", kinds.SIGMOID_DEPTH.at("*"), layers=7),
    margins,
)
