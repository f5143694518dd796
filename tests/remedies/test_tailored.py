"""Tailored activations meet their equations, and survive what modules go through."""

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import headwater as hw
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.tailored_activation import Tailored
from headwater.remedies.tailored_leaky import slope_for
from headwater.theory import ACTIVATIONS, tailored_activation
from headwater.theory.gaussian import expectation

SMOOTH = ("sigmoid", "tanh", "softsign", "softplus", "gelu", "gelu_tanh", "silu", "mish", "elu", "selu")


def chain(activation, depth: int, width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def dks(activation: str, depth: int) -> tuple[float, float, float, float]:
    solved = tailored_activation(activation, depth)
    return solved.alpha, solved.beta, solved.gamma, solved.delta


def test_slope_of_few_layers_is_that_of_relu():
    assert slope_for(12) == 0.0
    assert slope_for(15) > 0.0
    assert slope_for(1000) == pytest.approx(0.84435, abs=1e-5)


@pytest.mark.parametrize("depth", [3, 30, 1000])
@pytest.mark.parametrize("activation", SMOOTH)
def test_tailored_activation_meets_its_four_equations(activation, depth):
    alpha, beta, gamma, delta = dks(activation, depth)
    entry = ACTIVATIONS[activation]
    kinks = tuple((kink - beta) / alpha for kink in entry.kinks)

    def phi(z):
        return gamma * (entry.phi(alpha * z + beta) + delta)

    def slope(z):
        return gamma * alpha * entry.derivative(alpha * z + beta)

    assert expectation(phi, kinks) == pytest.approx(0.0, abs=1e-6)
    assert expectation(lambda z: phi(z) ** 2, kinks) == pytest.approx(1.0, abs=1e-6)
    assert expectation(lambda z: slope(z) ** 2, kinks) == pytest.approx(1.5 ** (1 / depth), abs=1e-6)
    assert expectation(lambda z: phi(z) * slope(z) * z, kinks) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("activation", SMOOTH)
def test_module_computes_what_was_solved(activation):
    entry = ACTIVATIONS[activation]
    alpha, beta, gamma, delta = dks(activation, 10)
    module = Tailored(getattr(nn, entry.modules[0])(**entry.arguments), alpha, beta, gamma, delta)
    grid = np.linspace(-3, 3, 61)
    expected = torch.tensor(gamma * (entry.phi(alpha * grid + beta) + delta))
    torch.testing.assert_close(module(torch.tensor(grid)), expected, atol=1e-9, rtol=0)


def test_tailored_network_keeps_signals_where_the_plain_one_loses_them():
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(1))
    plain = chain(nn.Sigmoid, 60, 64)
    tailored = hw.apply(plain, "activation.tailored")
    inner = tailored[:-1](x)
    assert float(inner.square().mean()) == pytest.approx(1.0, abs=0.15)
    assert float(inner.mean()) == pytest.approx(0.0, abs=0.1)
    gains = [float(gradient_at_the_input(model, x).norm()) for model in (plain, tailored)]
    assert gains[0] < 1e-20
    assert 0.1 < gains[1] / math.sqrt(256 * 3 * 64 / 64) < 10


def gradient_at_the_input(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = x.double().requires_grad_()
    model.double()(x).sum().backward()
    model.float()
    return x.grad


def test_tailored_leaky_has_slope_gain_and_orthogonal_weights():
    repaired = hw.apply(chain(nn.Tanh, 20).double(), "activation.tailored_leaky")
    slope = slope_for(20)
    assert {module.negative_slope for module in repaired.modules() if isinstance(module, nn.LeakyReLU)} == {slope}
    weight = repaired[2].weight.detach()
    torch.testing.assert_close(weight @ weight.T, 2 / (1 + slope**2) * torch.eye(8).double(), atol=1e-10, rtol=0)
    last = repaired[40].weight.detach()
    torch.testing.assert_close(last @ last.T, torch.eye(3).double(), atol=1e-10, rtol=0)


def test_depth_is_the_number_of_hidden_activations():
    assert hw.apply(chain(nn.Sigmoid, 7), "activation.tailored")[1].alpha == dks("sigmoid", 7)[0]


def test_activations_of_several_kinds_are_each_tailored():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 1), nn.Sigmoid())
    repaired = hw.apply(model, "activation.tailored")
    assert [repaired[i].alpha for i in (1, 3)] == [dks("sigmoid", 2)[0], dks("gelu", 2)[0]]
    assert isinstance(repaired[5], nn.Sigmoid)  # the output's own belongs to the loss


def test_tailored_convolutions_are_drawn_in_their_middle():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 4, 2), nn.Sigmoid(), nn.Conv2d(4, 4, 3))
    repaired = hw.apply(model, "activation.tailored")
    taps = [int(repaired[i].weight.abs().sum((0, 1)).count_nonzero()) for i in (0, 2, 4)]
    assert taps == [1, 4, 1]


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save", "state_dict"])
def test_tailored_network_survives(way):
    model = hw.apply(chain(nn.Sigmoid, 4), "activation.tailored").eval()
    x = torch.randn(5, 8)
    if way == "deepcopy":
        again = copy.deepcopy(model)
    elif way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif way == "torch.save":
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        again = torch.load(file, weights_only=False)
    else:
        again = hw.apply(chain(nn.Sigmoid, 4), "activation.tailored", seed=5).eval()
        assert not torch.equal(again(x), model(x))
        again.load_state_dict(model.state_dict())
    assert torch.equal(again(x), model(x))


def test_tailored_network_is_measured_and_raises_no_alarm():
    model = hw.apply(chain(nn.Sigmoid, 30, 32), "activation.tailored")
    batch = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    report = hw.check(model, batch, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]))
    assert "1.activation" in [row.site.name for row in report.flow.sites]
    assert not {finding.symptom for finding in report.findings} & {"vanishing", "exploding", "underflow"}


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (nn.Hardtanh, "hardtanh at '1' is piecewise linear.*init.orthogonal is"),
        (nn.ReLU6, "relu6 at '1' is piecewise linear"),
        (lambda: nn.ELU(0.5), r"has parameters of its own \({'alpha': 0.5}\); only nn.ELU\(\) is tailored"),
    ],
)
def test_what_cannot_be_tailored_is_said(activation, said):
    with pytest.raises(NotApplicableError, match=said):
        hw.apply(chain(activation, 3), "activation.tailored")


@pytest.mark.parametrize("remedy", ["activation.tailored", "activation.relu", "regularisation.dropout"])
def test_tailored_activation_is_not_taken_apart(remedy):
    with pytest.raises(NotApplicableError, match=r"'1' is tailored.*as it was before"):
        hw.apply(hw.apply(chain(nn.Sigmoid, 3), "activation.tailored"), remedy)


def test_depth_without_a_solution_is_said():
    with pytest.raises(NotApplicableError, match=r"softplus cannot be shaped for 1 layer .*init\.orthogonal"):
        hw.apply(chain(nn.Softplus, 1), "activation.tailored")
