"""Layers that a module uses and does not register: told by name, and only where they are meant to be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw

WIDTH, CLASSES = 24, 3


def layers() -> list[nn.Module]:
    return [nn.Linear(WIDTH, WIDTH) for _ in range(3)]


class Holding(nn.Module):
    """A network whose hidden layers are in whatever ``hold`` makes of them."""

    def __init__(self, hold: Callable[[list[nn.Module]], Any]) -> None:
        super().__init__()
        self.body = nn.Module()
        self.body.held = hold(layers())
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        held: Any = self.body.held
        for layer in held.values() if isinstance(held, (dict, nn.ModuleDict)) else held:
            x = torch.relu(layer[0](x) if isinstance(layer, (list, tuple)) else layer(x))
        result: Tensor = self.out(x)
        return result


class WithTensor(nn.Module):
    """Its first matrix is a tensor that asks for a gradient, and no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.randn(WIDTH, WIDTH, requires_grad=True)
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(torch.relu(x @ self.matrix / WIDTH**0.5))
        return result


class Student(nn.Module):
    """Learns beside a teacher that it hides from its own state."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = [nn.Sequential(*layers())]
        self.net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hint = self.teacher[0](x)
        result: Tensor = self.net(x + 0.01 * hint)
        return result


def batches() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(128, WIDTH, generator=torch.Generator().manual_seed(1))
    return [(part, (part[:, 0] > 0).long() + (part[:, 1] > 0).long()) for part in x.chunk(4)]


def loss(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def adam(parameters: Iterable[Any]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def unregistered(report: hw.Report) -> list[hw.Finding]:
    return [f for f in report.findings if str(f.message.id) == "finding.unregistered"]


HOLDERS = {
    "list": list,
    "tuple": tuple,
    "dict": lambda own: {f"layer{i}": layer for i, layer in enumerate(own)},
    "list of lists": lambda own: [[layer] for layer in own],
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_layers_in_a_plain_container_are_named(hold: Callable[[list[nn.Module]], Any]) -> None:
    experiment = hw.Experiment(lambda: Holding(hold), batches, loss, adam)
    (finding,) = unregistered(hw.check(experiment, seed=0, steps=10))
    assert finding.severity == "warning"
    assert finding.sites == ("body.held",)
    assert [cause.id for cause in finding.causes] == ["optimizer_params"]
    own, known = 3 * (WIDTH + 1) * WIDTH, (WIDTH + 1) * CLASSES
    assert finding.evidence[0].value == pytest.approx(own / (own + known))
    assert "nn.ModuleList" in finding.prescriptions[0].code


def test_tensor_that_is_no_parameter_is_named() -> None:
    (finding,) = unregistered(hw.check(hw.Experiment(WithTensor, batches, loss, adam), seed=0, steps=10))
    assert finding.sites == ("matrix",)


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Callable[[Iterable[Any]], torch.optim.Optimizer]]] = {
    "registered": (lambda: Holding(nn.ModuleList), adam),
    "teacher without a graph": (Student, adam),
}


@pytest.mark.parametrize(("model", "optimizer"), HEALTHY.values(), ids=HEALTHY)
def test_what_is_registered_or_not_to_be_trained_is_no_finding(model: Any, optimizer: Any) -> None:
    assert not unregistered(hw.check(hw.Experiment(model, batches, loss, optimizer), seed=0, steps=10))


def test_what_the_optimizer_was_given_all_the_same_is_trained() -> None:
    torch.manual_seed(0)
    model = WithTensor()
    optimizer = adam([model.matrix, *model.parameters()])
    with hw.watch(model, optimizer, run=None, every=1, quiet=True) as watch:
        for batch in batches() * 3:
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
    assert not unregistered(watch.report())


def test_without_an_optimizer_nobody_knows_what_is_trained() -> None:
    assert not unregistered(hw.check(Holding(list), batches()[0], loss))


def test_watched_training_shows_it_too_and_it_is_recorded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Holding(list)
    optimizer = adam(model.parameters())
    with hw.watch(model, optimizer, run=tmp_path / "run", every=1, quiet=True) as watch:
        for batch in batches() * 3:
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            watch.log(loss=value)
            optimizer.step()
    found = unregistered(watch.report())
    assert [finding.sites for finding in found] == [("body.held",)]
    assert unregistered(hw.open_run(tmp_path / "run").report()) == found
