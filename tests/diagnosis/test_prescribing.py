"""What is prescribed for depth can be applied to the very network it is prescribed for."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.prescribing import for_collapse, for_gradient_scale
from headwater.records import Flow


class Residual(nn.Module):
    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), activation()) for _ in range(14))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


def plain(activation: type[nn.Module], depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([16] * depth):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers, nn.Linear(16, 3))


def measured(model: nn.Module) -> Flow:
    torch.manual_seed(0)
    batch = torch.randn(32, 16), torch.randint(3, (32,))
    return hw.check(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1])).flow


def ids(prescriptions) -> list[str]:
    return ["+".join(prescription.remedies) for prescription in prescriptions]


TO_RELU, TO_TANH = "activation.relu+init.he", "activation.tanh+init.xavier"


@pytest.mark.parametrize(
    ("activation", "depth", "expected"),
    [
        (nn.Sigmoid, 8, [TO_RELU, TO_TANH]),
        (nn.Sigmoid, 16, [TO_TANH, "structure.prenorm", "activation.tailored", TO_RELU]),
        (nn.Tanh, 8, ["init.xavier", TO_RELU]),
        (nn.Tanh, 16, ["init.xavier", "structure.prenorm", TO_RELU, "init.orthogonal", "activation.tailored"]),
        (nn.ReLU, 8, ["init.he"]),
        (nn.ReLU, 16, ["init.he", "structure.prenorm", "init.mirrored", "activation.tailored_leaky"]),
    ],
)
def test_shortcuts_are_for_plain_networks_of_more_than_ten_layers(activation, depth, expected):
    assert ids(for_gradient_scale(measured(plain(activation, depth)))) == expected


def test_network_with_shortcuts_gets_no_others():
    flow = measured(Residual(nn.Sigmoid))
    assert ids(for_gradient_scale(flow)) == [TO_TANH, TO_RELU]
    assert "structure.prenorm" not in ids(for_collapse(flow))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (nn.ReLU, ["init.mirrored", "activation.tailored_leaky", "structure.prenorm"]),
        (nn.Tanh, ["init.orthogonal", "activation.tailored", "structure.prenorm"]),
        (nn.Sigmoid, ["activation.tailored", "structure.prenorm"]),
    ],
)
def test_what_is_prescribed_against_collapse_can_be_applied(activation, expected):
    model = plain(activation, 16)
    prescriptions = for_collapse(measured(model))
    assert ids(prescriptions) == expected
    for prescription in prescriptions:
        hw.apply(model, prescription)
