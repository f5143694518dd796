"""Frozen weights that were never trained, however they were drawn; and those that are frozen for good reason."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.fresh import never_trained
from headwater.probes.measure import measure
from tests.diagnosis.test_symptoms import Run, drawn, network, symptoms

DRAWS: dict[str, Callable[[Tensor], Any]] = {
    "he": nn.init.kaiming_normal_,
    "normal": partial(nn.init.normal_, std=0.1),
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.1, a=-0.2, b=0.2),
    "orthogonal": nn.init.orthogonal_,
    "uniform": partial(nn.init.uniform_, a=-0.1, b=0.1),
}


def with_frozen(model: nn.Sequential, *layers: int) -> nn.Sequential:
    for layer in layers:
        model[layer].requires_grad_(False)
    return model


def frozen_names(model: nn.Module) -> list[str]:
    torch.manual_seed(1)
    batch = torch.randn(64, 64), torch.randint(10, (64,))
    flow = measure(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1]))
    return [parameter.name for parameter in never_trained(flow)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draw", DRAWS)
def test_weights_as_they_were_drawn_are_seen(draw: str, seed: int) -> None:
    torch.manual_seed(seed)
    assert frozen_names(with_frozen(drawn(network(), DRAWS[draw]), 0, 2)) == ["0.weight", "2.weight"]


@pytest.mark.parametrize("draw", DRAWS)
def test_weights_that_were_trained_are_not(draw: str) -> None:
    torch.manual_seed(0)
    model = drawn(network(), DRAWS[draw])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.randn(256, 64)
    y = x[:, :10].argmax(1)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert frozen_names(with_frozen(model, 0, 2)) == []


def test_a_bias_that_has_moved_speaks_for_the_layer() -> None:
    torch.manual_seed(0)
    model = with_frozen(drawn(network(), nn.init.kaiming_normal_), 0)
    assert frozen_names(model) == ["0.weight"]
    model[0].bias.data[0] = 0.1
    assert frozen_names(model) == []


def test_weights_of_zero_are_never_trained_ones() -> None:
    model = network()
    nn.init.zeros_(model[2].weight)
    assert frozen_names(with_frozen(model, 2)) == ["2.weight"]


class Target(nn.Module):
    """A network and its copy that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.online(x) + 0.0 * self.target(x).detach()


def test_a_target_network_follows_its_twin() -> None:
    torch.manual_seed(0)
    assert frozen_names(Target()) == []


def test_layers_of_a_stack_are_no_twins() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3)), nn.Linear(64, 10))
    assert frozen_names(with_frozen(model, 1)) == ["1.0.weight"]


@pytest.mark.parametrize("name", ["fc{}", "layer_{}", "conv{}_in"])
def test_layers_with_a_number_in_their_name_are_no_twins(name: str) -> None:
    torch.manual_seed(0)
    layers = OrderedDict((name.format(index), nn.Linear(64, 64)) for index in range(1, 4))
    model = nn.Sequential(layers)
    layers[name.format(2)].weight.requires_grad_(False)
    assert frozen_names(model) == [f"{name.format(2)}.weight"]


def test_a_table_of_random_codes_may_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(300, 64).requires_grad_(False), nn.Flatten(), nn.Linear(4 * 64, 10))
    batch = torch.randint(300, (64, 4)), torch.randint(10, (64,))
    flow = measure(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1]))
    assert never_trained(flow) == []


def random_features(width: int) -> nn.Sequential:
    return with_frozen(nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)), 0)


def test_random_features_that_do_are_only_noted_and_lost_ones_are_not() -> None:
    fine = Run(lambda: random_features(512), optimizer=partial(torch.optim.Adam, lr=1e-2), steps=40).check(0)
    assert fine.verdict == "healthy"
    assert [finding.severity for finding in fine.findings if finding.symptom == "not_updating"] == ["info"]
    lost = Run(lambda: random_features(4), optimizer=partial(torch.optim.Adam, lr=1e-2), steps=40).check(0)
    assert symptoms(lost) == ["not_updating"]


def test_a_record_keeps_the_strongest_direction() -> None:
    torch.manual_seed(0)
    flow = measure(with_frozen(network(), 0), torch.randn(32, 64), lambda m, x: m(x).square().mean())
    assert hw.Flow.from_dict(flow.to_dict()) == flow
