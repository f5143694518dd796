"""Weights that start too large, in networks that learn all the same, and healthy designs that look alike."""

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import headwater as hw

X = torch.tensor(load_digits().data, dtype=torch.float32) / 16
STANDARD = (X - X.mean(0)) / X.std(0).clamp_min(1e-6)
Y = torch.tensor(load_digits().target)
WORDS, TIMES = 24, 12
WRITTEN = torch.arange(WORDS).repeat(60)
WINDOWS = torch.stack([WRITTEN[start : start + TIMES + 1] for start in range(1200)])
Optimize = Callable[..., torch.optim.Optimizer]


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    logits = model(batch[0])
    return F.cross_entropy(logits.flatten(0, -2), batch[1].flatten())


def accuracy(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    with torch.no_grad():
        right = [(model(x).argmax(-1) == y).float().mean() for x, y in batches]
    return float(torch.stack(right).mean())


def adam(rate: float) -> Optimize:
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def report(
    model: Callable[[], nn.Module],
    data: tuple[Tensor, Tensor] = (STANDARD, Y),
    optimizer: Optimize | None = None,
    seed: int = 0,
    scale: float = 1.0,
) -> hw.Report:
    x, y = data
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    seen, unseen = order[: 3 * len(x) // 4], order[3 * len(x) // 4 :]
    experiment = hw.Experiment(
        model=model,
        batches=lambda: [(x[rows], y[rows]) for rows in seen[torch.randperm(len(seen))].split(64) if len(rows) == 64],
        loss=lambda network, batch: scale * cross_entropy(network, batch),
        optimizer=optimizer or adam(1e-3),
        validation=lambda: [(x[unseen], y[unseen])],
        metric=accuracy,
    )
    return hw.check(experiment, steps=40, seed=seed)


def alarms(found: hw.Report) -> list[str]:
    return [finding.message.id for finding in found.findings if finding.severity != "info"]


def plain(activation: type[nn.Module] = nn.ReLU, times: float = 1.0, which: str = "024") -> nn.Sequential:
    model = nn.Sequential(nn.Linear(64, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 10))
    with torch.no_grad():
        for name in which:
            model.get_submodule(name).weight.mul_(times)
    return model


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_first_loss_far_above_a_guess_counts_though_the_loss_falls(seed: int, scale: float) -> None:
    found = report(lambda: plain(times=8.0), seed=seed, scale=scale, optimizer=adam(3e-3))
    assert found.flow.training is not None
    assert found.flow.training.losses()[-1] < found.flow.training.losses()[0] / 3
    assert "finding.bad_init_large_loss" in alarms(found)
    assert not alarms(report(plain, seed=seed, scale=scale, optimizer=adam(3e-3)))


class Reading(nn.Module):
    """A transformer's block over numbered words; ``times`` makes queries and keys larger than PyTorch draws them."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, 32), nn.Embedding(TIMES, 32)
        self.norm, self.attention = nn.LayerNorm(32), nn.MultiheadAttention(32, 2, batch_first=True)
        self.wide, self.narrow, self.head = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, WORDS)
        with torch.no_grad():
            self.attention.in_proj_weight.mul_(times)

    def forward(self, x: Tensor) -> Tensor:
        h = self.words(x) + self.places(torch.arange(x.shape[1]))
        n = self.norm(h)
        h = h + self.attention(n, n, n, need_weights=False)[0]
        return self.head(h + self.narrow(F.gelu(self.wide(h))))


def test_attention_that_starts_at_one_place_counts_though_the_loss_falls() -> None:
    data = (WINDOWS[:, :-1], WINDOWS[:, 1:])
    large = alarms(report(lambda: Reading(40.0), data, adam(3e-3)))
    assert large == ["finding.bad_init_large_attention"]
    assert not alarms(report(lambda: Reading(1.0), data, adam(3e-3)))


class Tied(nn.Module):
    """A table that is looked up in and is the last layer too."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.words, self.cell = nn.Embedding(WORDS, 32), nn.GRU(32, 32, batch_first=True)
        nn.init.normal_(self.words.weight, std=spread)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(self.words(x))[0] @ self.words.weight.T


@pytest.mark.parametrize(("spread", "found"), [(20.0, True), (1.0, False), (0.1, False)])
def test_table_that_is_the_last_layer_too_counts_by_its_size(spread: float, found: bool) -> None:
    data = (WINDOWS[:, :-1], WINDOWS[:, 1:])
    assert ("finding.bad_init_large_outputs" in alarms(report(lambda: Tied(spread), data))) == found


class Standardised(nn.Linear):
    """Weights of any size that are standardised on the way (Qiao et al. 2019)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return F.linear(x, weight / (weight.std(1, keepdim=True) * math.sqrt(self.in_features)), self.bias)


class NormalisedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            h = layer(x)
            x = F.relu((h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True))
        return self.head(x)


class ByWidth(nn.Module):
    """The parametrisation of the neural tangent kernel (Jacot et al. 2018): N(0, 1) weights over √fan_in."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


@pytest.mark.parametrize("layer", [Standardised, ByWidth])
def test_weights_that_are_scaled_on_the_way_are_no_large_ones(layer: Callable[[int, int], nn.Module]) -> None:
    found = report(
        lambda: nn.Sequential(layer(64, 64), nn.ReLU(), layer(64, 64), nn.ReLU(), layer(64, 10)), optimizer=adam(1e-2)
    )
    assert not alarms(found)


def test_layers_that_are_normalised_by_hand_are_no_large_ones() -> None:
    assert not alarms(report(NormalisedByHand, optimizer=adam(3e-3)))


def smoothed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """No guess is known for it, so that only the weights and what they give can tell."""
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)


@pytest.mark.parametrize(("times", "which", "found"), [(16.0, "024", True), (16.0, "02", False), (1.0, "024", False)])
def test_most_layers_too_large_is_enough_where_the_outputs_are_too(times: float, which: str, found: bool) -> None:
    torch.manual_seed(0)
    told = hw.check(plain(nn.ReLU, times, which), (STANDARD[:64], Y[:64]), smoothed)
    assert ("finding.bad_init_large_most" in alarms(told)) == found


# A step longer than all the weights that threw the loss up is too long, also where the loss comes back down.


class Rows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(8, 48, batch_first=True), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x.unflatten(1, (8, 8)))[0][:, -1])


@pytest.mark.parametrize(("rate", "found"), [(0.3, ["finding.lr_too_high"]), (5e-3, [])])
def test_rate_is_too_high_where_a_step_replaced_the_weights_and_the_loss_jumped(rate: float, found: list[str]) -> None:
    told = report(Rows, (X, Y), adam(rate))
    assert told.flow.training is not None
    assert told.flow.training.losses()[-1] < told.flow.training.losses()[0]
    assert alarms(told) == found


# Steps that are too short by the rate alone.


def test_nothing_is_blamed_on_time_while_steps_are_too_short_to_learn_anything() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRU(1, 16, batch_first=True), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cell(x[..., None])[0][:, -1])

    found = report(Long, (X, Y), lambda parameters: torch.optim.SGD(parameters, lr=1e-5))
    assert {cause.id for f in found.findings if f.severity != "info" for cause in f.causes} == {"learning_rate_low"}
    assert "vanishing_through_time" in {finding.symptom for finding in found.findings}


def test_small_gradients_beside_large_ones_lose_nothing_where_the_optimizer_divides_size_out() -> None:
    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return 100 * self.head(torch.relu(self.second(x))) + 1e-2 * self.head(torch.relu(self.first(x)))

    causes = {}
    for name, optimizer in (("Adam", torch.optim.Adam), ("SGD", torch.optim.SGD)):
        found = report(Faint, optimizer=lambda parameters, make=optimizer: make(parameters, lr=1e-9))
        causes[name] = {c.id for f in found.findings if f.symptom == "not_updating" for c in f.causes}
    assert causes["Adam"] == {"learning_rate_low"}
    assert "numeric_underflow" in causes["SGD"]


# Targets as far out as inputs must not be.


@pytest.mark.parametrize(("centre", "found"), [(5e4, ["data_scale"]), (0.0, [])])
def test_targets_that_no_output_has_come_near_are_the_cause(centre: float, found: list[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=generator)
    y = (x[:, :1].sin() + x[:, 1:2]) * (1.0 if centre == 0 else 500.0) + centre
    experiment = hw.Experiment(
        model=lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
        batches=lambda: [(x[rows], y[rows]) for rows in torch.randperm(480).split(48)],
        loss=lambda network, batch: F.mse_loss(network(batch[0]), batch[1]),
        optimizer=adam(1e-3),
        validation=lambda: [(x[480:], y[480:])],
        metric=lambda network, batches: 1 - float(sum(F.mse_loss(network(a), b) / b.var() for a, b in batches)),
    )
    told = hw.check(experiment, steps=40, seed=0)
    assert [f.causes[0].id for f in told.findings if f.severity != "info"] == found
