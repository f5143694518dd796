"""Cells, adapters and codes of one's own: what a loop, two zeros or a penalty make of plain layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw

TIMES, WIDTH, CLASSES = 30, 16, 4


class Cell(nn.Module):
    """Elman's (1990), a layer for what comes in and one for the state; ``cut`` detaches the state after so many."""

    def __init__(self, gain: float, cut: int = 0, small: bool = False) -> None:
        super().__init__()
        self.came, self.state, self.out = nn.Linear(3, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.cut = cut
        nn.init.orthogonal_(self.state.weight, gain)
        if small:  # far from where tanh is flat
            nn.init.normal_(self.came.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), WIDTH)
        for time in range(x.shape[1]):
            h = torch.tanh(self.came(x[:, time]) + self.state(h))
            h = h.detach() if time + 1 == self.cut else h
        result: Tensor = self.out(h)
        return result


def sequences(first: bool) -> list[tuple[Tensor, Tensor]]:
    """What to tell stands in the first place, or in the last."""
    x = torch.randn(2048, TIMES, 3, generator=torch.Generator().manual_seed(2))
    place = x[:, 0 if first else -1]
    classes = 2 * (place[:, 0] > 0).long() + (place[:, 1] > 0).long()
    return list(zip(x.split(256), classes.split(256), strict=True))


def checked(
    model: Callable[[], nn.Module], batches: Callable[[], Any], steps: int, loss: Any = None, rate: float = 3e-3
) -> tuple[hw.Finding, ...]:
    experiment = hw.Experiment(
        model,
        batches,
        loss or (lambda net, batch: nn.functional.cross_entropy(net(batch[0]), batch[1])),
        lambda parameters: torch.optim.Adam(parameters, lr=rate),
        metric=None if loss else lambda net, batch: (net(batch[0]).argmax(1) == batch[1]).float().mean().item(),
    )
    return hw.check(experiment, seed=0, steps=steps).findings


def symptoms(findings: Iterable[hw.Finding]) -> dict[str, hw.Finding]:
    return {finding.symptom: finding for finding in findings}


def test_memory_that_is_lost_is_no_layer_that_learns_nothing() -> None:
    """What is asked for stands at the end: the gradient of early steps is gone, and nothing is amiss."""
    found = symptoms(checked(lambda: Cell(0.3), lambda: sequences(first=False), 60))
    assert "vanishing" not in found
    assert found["vanishing_through_time"].severity == "info"
    assert found["vanishing_through_time"].message.values["steps"] == TIMES


def test_memory_that_is_needed_and_lost_is_a_finding() -> None:
    found = symptoms(checked(lambda: Cell(0.3), lambda: sequences(first=True), 40))
    assert "vanishing" not in found
    assert found["vanishing_through_time"].severity == "warning"
    assert [cause.id for cause in found["vanishing_through_time"].causes] == ["recurrent_weights"]


def test_memory_that_is_kept_is_none() -> None:
    assert "vanishing_through_time" not in symptoms(
        checked(lambda: Cell(1.0, small=True), lambda: sequences(first=False), 4)
    )


@pytest.mark.parametrize("cut", [TIMES - 1, TIMES // 2])
@pytest.mark.parametrize(("first", "severity"), [(True, "warning"), (False, "info")])
def test_state_that_is_detached_on_the_way_is_told(cut: int, first: bool, severity: str) -> None:
    """A warning where what is asked for came before: there it learns nothing."""
    found = symptoms(checked(lambda: Cell(1.0, cut), lambda: sequences(first), 40 if first else 60))
    finding = found["vanishing_through_time"]
    assert finding.severity == severity
    assert [cause.id for cause in finding.causes] == ["detached_graph"]
    assert finding.message.values["cut"] == cut


class Adapted(nn.Module):
    """A frozen network with an adapter B A of rank 2 in the middle."""

    def __init__(self, both_zero: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(WIDTH, 2))
        if not both_zero:
            nn.init.normal_(self.a)
        self.first, self.out = nn.Linear(3, WIDTH), nn.Linear(WIDTH, CLASSES)
        for layer in (self.first, self.out):
            layer.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(torch.relu(self.first(x) + x @ self.a.T @ self.b.T))
        return result


def points() -> list[tuple[Tensor, Tensor]]:
    return [(x[:, 0], y) for x, y in sequences(first=True)]


@pytest.mark.parametrize("both_zero", [True, False])
def test_zeros_that_are_multiplied_with_zeros_never_move(both_zero: bool) -> None:
    told = [f for f in checked(lambda: Adapted(both_zero), points, 12) if str(f.message.id) == "finding.never_moves"]
    assert [(f.severity, f.sites, f.causes[0].id) for f in told] == (
        [("critical", ("a", "b"), "init_mismatch")] if both_zero else []
    )


class AdaptedUnderAHead(Adapted):
    """The same, whose last layer is trained as well: the gradient as a whole is not zero."""

    def __init__(self, both_zero: bool) -> None:
        super().__init__(both_zero)
        self.out.requires_grad_(True)


@pytest.mark.parametrize("both_zero", [True, False])
def test_zeros_beside_a_head_that_learns_never_move(both_zero: bool) -> None:
    found = checked(lambda: AdaptedUnderAHead(both_zero), points, 12)
    told = [f for f in found if str(f.message.id) == "finding.factors_never_move"]
    assert [(f.severity, f.sites, f.causes[0].id) for f in told] == (
        [("warning", ("a", "b"), "init_mismatch")] if both_zero else []
    )
    assert all(f.prescriptions[0].remedies == ("init.low_rank",) for f in told)


class Unrolled(nn.Module):
    """PyTorch's cell, called for one time step after another."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.cell, self.out = nn.RNNCell(3, WIDTH), nn.Linear(WIDTH, CLASSES)
        nn.init.orthogonal_(self.cell.weight_hh, gain)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), WIDTH)
        for time in range(x.shape[1]):
            h = self.cell(x[:, time], h)
        result: Tensor = self.out(h)
        return result


def test_memory_of_a_cell_that_a_loop_steps_through_is_told() -> None:
    found = symptoms(checked(lambda: Unrolled(0.3), lambda: sequences(first=True), 40))
    assert "vanishing" not in found
    finding = found["vanishing_through_time"]
    assert (finding.severity, finding.causes[0].id, finding.message.values["steps"]) == (
        "warning",
        "recurrent_weights",
        TIMES,
    )
    assert finding.prescriptions[0].remedies == ("recurrent.orthogonal",)


def likelihood(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.nll_loss(net(batch[0]), batch[1])


def certain(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Rewards an entropy that is small, and so may be below zero."""
    logs = net(batch[0]).log_softmax(1)
    return nn.functional.nll_loss(logs, batch[1]) + 5 * (logs.exp() * logs).sum(1).mean()


@pytest.mark.parametrize(
    ("head", "loss", "told"),
    [
        (nn.Identity, likelihood, ["finding.loss_of_scores"]),
        (lambda: nn.LogSoftmax(1), likelihood, []),
        (nn.Identity, certain, []),
    ],
)
def test_a_likelihood_of_scores_falls_below_zero(head: Callable[[], nn.Module], loss: Any, told: list[str]) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES), head())

    found = [f for f in checked(model, points, 30, loss, rate=0.03) if f.symptom == "loss_activation_mismatch"]
    assert [str(f.message.id) for f in found] == told


@pytest.mark.parametrize(("depth", "told"), [(3, True), (2, False)])
def test_few_sigmoids_are_told_where_nothing_is_learnt(depth: int, told: bool) -> None:
    def model() -> nn.Module:
        hidden = [m for _ in range(depth) for m in (nn.Linear(WIDTH, WIDTH), nn.Sigmoid())]
        return nn.Sequential(nn.Linear(3, WIDTH), nn.Sigmoid(), *hidden, nn.Linear(WIDTH, CLASSES))

    experiment = hw.Experiment(
        model,
        points,
        lambda net, batch: nn.functional.cross_entropy(net(batch[0]), batch[1]),
        lambda parameters: torch.optim.SGD(parameters, lr=0.02),
        metric=lambda net, batch: (net(batch[0]).argmax(1) == batch[1]).float().mean().item(),
    )
    found = symptoms(hw.check(experiment, seed=0, steps=30).findings)
    assert ("vanishing" in found) is told


class Coded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decode(self.encode(x))
        return result


def error(net: Any, batch: Any) -> Tensor:
    return nn.functional.mse_loss(net(batch[0]), batch[0])


def sparse(net: Any, batch: Any) -> Tensor:
    code = net.encode(batch[0])
    return nn.functional.mse_loss(net.decode(code), batch[0]) + 1e-3 * code.abs().mean()


@pytest.mark.parametrize(("loss", "collapses"), [(error, True), (sparse, False)])
def test_code_that_the_loss_itself_reads_is_no_layer_too_many(loss: Any, collapses: bool) -> None:
    assert ("linear_collapse" in symptoms(checked(Coded, points, 10, loss))) == collapses


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.one, self.two = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Iterable[Tensor]:
        h = self.trunk(x)
        return self.one(h), self.two(h)


def test_two_heads_on_a_linear_trunk_collapse_all_the_same() -> None:
    def loss(net: Any, batch: Any) -> Tensor:
        one, two = net(batch[0])
        return nn.functional.mse_loss(one, batch[0]) + nn.functional.mse_loss(two, -batch[0])

    assert "linear_collapse" in symptoms(checked(TwoHeads, points, 10, loss))
