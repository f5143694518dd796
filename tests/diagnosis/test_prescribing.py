"""What is prescribed for depth can be applied to the very network it is prescribed for."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.prescribing import for_collapse, for_gradient_scale, for_saturation
from headwater.records import Flow, Training
from headwater.records.training import TrainingStep


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


class Mixing(nn.Module):
    """Blocks of two layers over places, with a shortcut in each or none, behind the sum of two vectors."""

    def __init__(self, shortcut: bool, blocks: int = 3, spread: float = 0.02) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(9, 16), nn.Embedding(5, 16)
        nn.init.normal_(self.words.weight, 0.0, spread)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 16), nn.Sigmoid(), nn.Linear(16, 16)) for _ in range(blocks)
        )
        self.head, self.shortcut = nn.Linear(16, 3), shortcut

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = h + block(h) if self.shortcut else block(h)
        return self.head(h.mean(1))


def read(model: nn.Module) -> Flow:
    batch = torch.arange(32 * 5).reshape(32, 5) % 9, torch.arange(32) % 3
    return hw.check(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1])).flow


def test_whole_blocks_are_bridged_where_nothing_is_added_up_behind_the_first_of_them():
    assert ids(for_gradient_scale(read(Mixing(shortcut=False))))[-1] == "structure.residual"
    assert ids(for_collapse(read(Mixing(shortcut=False))))[-1] == "structure.residual"
    for without in (Mixing(shortcut=True), Mixing(shortcut=False, blocks=1), plain(nn.Sigmoid, 16)):
        flow = read(without) if isinstance(without, Mixing) else measured(without)
        assert "structure.residual" not in [*ids(for_gradient_scale(flow)), *ids(for_collapse(flow))]


def test_vectors_that_are_longer_than_anybody_draws_them_are_drawn_anew():
    for prescribe in (for_gradient_scale, for_saturation):
        assert ids(prescribe(read(Mixing(shortcut=True, spread=5.0))))[0] == "init.embedding"
        for usual in (1.0, 0.02):
            assert "init.embedding" not in ids(prescribe(read(Mixing(shortcut=True, spread=usual))))
    frozen = Mixing(shortcut=True, spread=5.0)
    frozen.words.weight.requires_grad_(False)
    assert "init.embedding" not in ids(for_gradient_scale(read(frozen)))


def test_gradient_of_weights_that_are_pulled_to_zero_is_met_by_less_pull():
    flow = measured(plain(nn.Tanh, 8))
    steps = tuple(TrainingStep(step=i, loss=1.0, update_ratio=0.01) for i in range(20))

    def decayed(pull: float) -> Flow:
        setup = replace(flow.setup, optimizer={"lr": 0.1, "weight_decay": pull})
        return replace(flow, setup=setup, optimizer="SGD", training=Training(steps=steps))

    assert ids(for_gradient_scale(decayed(0.09)))[0] == "regularisation.reduce_weight_decay"
    assert ids(for_gradient_scale(decayed(0.001)))[0] == "init.xavier"


def test_saturated_recurrent_layers_get_other_recurrent_weights_too():
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.RNN(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x.reshape(len(x), 4, 4))[0][:, -1])

    assert ids(for_saturation(measured(Reader()))) == ["init.xavier", "recurrent.orthogonal", TO_RELU]
    assert "recurrent.orthogonal" not in ids(for_saturation(measured(plain(nn.Tanh, 8))))
