"""At the edge of chaos neither differences nor gradients shrink or grow with depth, or the remedy says so."""

import math

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.remedies.init_critical import critical_point
from headwater.remedies.order import Step
from headwater.remedies.remedy import NotApplicableError
from headwater.theory import chi_1, length_map

EDGED = ["tanh", "softsign", "hardtanh", "relu", "relu6", "elu", "selu", "gelu", "silu", "mish"]


def chain(activation: type[nn.Module], depth: int = 30, width: int = 300) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [module for _ in range(depth) for module in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


@pytest.mark.parametrize("activation", EDGED)
def test_point_is_a_fixed_point_at_which_no_gradient_grows(activation):
    sigma_w2, sigma_b2, q = critical_point(Step("act", "activation", activation))
    q = q or 1.0
    assert chi_1(activation, q, sigma_w2) == pytest.approx(1.0, abs=1e-6)
    assert length_map(activation, q, sigma_w2, sigma_b2) == pytest.approx(q, rel=1e-6)


def test_slope_of_its_own_counts():
    step = Step("act", "activation", "leaky_relu", parameters=(("negative_slope", 0.5),))
    assert critical_point(step)[0] == pytest.approx(2 / 1.25)


@pytest.mark.parametrize("activation", ["Tanh", "ELU", "Hardtanh"])
def test_signals_and_gradients_keep_their_size_over_30_layers(activation):
    model = hw.apply(chain(getattr(nn, activation)), "init.critical")
    x = torch.randn(64, 300, generator=torch.Generator().manual_seed(1))
    seen = []
    for layer in model[:-1]:
        x = layer(x)
        x.retain_grad()
        seen.append(x)
    (model[-1](x) * torch.randn(64, 10, generator=torch.Generator().manual_seed(2))).sum().backward()
    before = [s.detach().square().mean().item() for s in seen[0:-1:2]]
    assert max(before) / min(before) < 1.5
    assert before[0] == pytest.approx(0.5, rel=0.1)
    gradients = [s.grad.square().mean().item() for s in seen[0:-1:2]]
    assert 0.3 < gradients[0] / gradients[-1] < 3


def test_layers_and_biases_have_the_deviations_of_the_point():
    model = hw.apply(chain(nn.Tanh, depth=3), "init.critical")
    sigma_w2, sigma_b2, q = critical_point(Step("act", "activation", "tanh"))
    assert float(model[2].weight.detach().std()) == pytest.approx(math.sqrt(sigma_w2 / 300), rel=0.02)
    assert float(model[2].bias.detach().std()) == pytest.approx(math.sqrt(sigma_b2), rel=0.15)
    assert float(model[0].weight.detach().std()) == pytest.approx(math.sqrt((q - sigma_b2) / 300), rel=0.02)
    assert float(model[6].weight.detach().std()) == pytest.approx(math.sqrt(1 / 300), rel=0.05)
    assert not model[6].bias.any()


def test_rectifiers_have_hes_rule_and_no_biases():
    he, critical = (hw.apply(chain(nn.ReLU, depth=3), remedy) for remedy in ("init.he", "init.critical"))
    assert all(
        torch.allclose(a, b, rtol=1e-6, atol=0) for a, b in zip(he.parameters(), critical.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        ("Sigmoid", r"begins at pre-activations of variance 45\.6.*activation\.tailored"),
        ("Softplus", "no edge of chaos"),
    ],
)
def test_activation_without_an_edge_is_refused_with_what_would_help(activation, said):
    model = chain(getattr(nn, activation), depth=3)
    with pytest.raises(NotApplicableError, match=said):
        hw.apply(model, "init.critical")
    hw.apply(model, ["activation.tanh", "init.critical"])
