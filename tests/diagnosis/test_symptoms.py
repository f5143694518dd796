"""A failing and a healthy example of each symptom that takes a look at more than one gradient's way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.demo import accuracy, cross_entropy, digits
from headwater.report import Report, terminal
from headwater.report.words import Words
from tests.cases import ReZero

Batch = tuple[Tensor, Tensor]


def batches(size: int = 64, count: int | None = None, scale: float = 1.0, shift: float = 0.0) -> list[Batch]:
    (x, y), _ = digits()
    x, y = (x * scale + shift)[:count], y[:count]
    return [(x[rows], y[rows]) for rows in torch.arange(len(x)).split(size) if len(rows) == min(size, len(x))]


def every_digit() -> list[Batch]:
    (x, y), _ = digits()
    return [(x, y)]


def squares(model: nn.Module, batch: Batch) -> Tensor:
    """A parabola of the weights of a linear layer: its largest curvature on the digits is 1.46."""
    return F.mse_loss(model(batch[0]), F.one_hot(batch[1], 10).float())


def network(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 4, width: int = 64) -> nn.Sequential:
    hidden = [m for _ in range(depth - 1) for m in (nn.Linear(width, width), activation())]
    hidden[0] = nn.Linear(64, width)
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def drawn(model: nn.Sequential, draw: Callable[[Tensor], Any]) -> nn.Sequential:
    for layer in model:
        if isinstance(layer, nn.Linear):
            draw(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def with_softmax(model: nn.Module) -> nn.Module:
    return nn.Sequential(model, nn.Softmax(dim=-1))


def with_layers(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), *layers, nn.ReLU(), nn.Linear(64, 10))


class Rows(nn.Module):
    """Reads a digit as 64 pixels one after the other; what it says may rest on the first of them only."""

    def __init__(self, kind: type[nn.RNNBase], steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.body, self.head = kind(4, 32, batch_first=True), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


def recalled(steps: int) -> list[Batch]:
    """What came first is asked for at the end; noise stands between."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (640,), generator=generator)
    x = 0.1 * torch.randn(640, steps, 4, generator=generator)
    x[:, 0] = F.one_hot(y, 4).float()
    return [(x[rows], y[rows]) for rows in torch.arange(640).split(64)]


def frozen(model: nn.Sequential) -> nn.Sequential:
    model[2].requires_grad_(False)
    return model


def trained_elsewhere(model: nn.Sequential) -> nn.Sequential:
    """Directions that stand out, as a training leaves them."""
    nn.init.xavier_normal_(model[2].weight)
    with torch.no_grad():
        model[2].weight += 0.5 * torch.outer(*torch.randn(2, 64)) / 8.0
    return frozen(model)


ADAM = partial(torch.optim.Adam, lr=3e-3)


@dataclass(frozen=True)
class Run:
    """An experiment on digits, for a few steps."""

    model: Callable[[], nn.Module] = network
    batches: Callable[[], list[Batch]] = batches
    optimizer: Callable[[Any], torch.optim.Optimizer] = ADAM
    steps: int = 0
    validated: bool = True
    loss: Callable[[Any, Any], Tensor] = cross_entropy

    def check(self, seed: int = 0, intervene: bool | hw.Budget = False) -> Report:
        torch.set_num_threads(1)
        return hw.check(self.experiment(), steps=self.steps, seed=seed, intervene=intervene)

    def experiment(self) -> hw.Experiment:
        return hw.Experiment(
            model=self.model,
            batches=self.batches,
            loss=self.loss,
            optimizer=self.optimizer,
            validation=(lambda: [digits()[1]]) if self.validated else None,
            metric=accuracy if self.validated else None,
        )


TRAINED = Run(steps=30)
PARABOLA = Run(lambda: nn.Linear(64, 10), every_digit, steps=30, validated=False, loss=squares)
SGD = partial(torch.optim.SGD, lr=0.1)
HE = partial(nn.init.kaiming_normal_, nonlinearity="relu")

FAILING: dict[str, tuple[Run, str]] = {
    "rank_collapse": (Run(lambda: drawn(network(depth=100), HE)), "depth_without_shortcut"),
    "symmetric_init": (Run(lambda: drawn(network(), partial(nn.init.constant_, val=0.1))), "init_mismatch"),
    "bad_init_small": (
        replace(TRAINED, model=lambda: drawn(network(depth=3), partial(nn.init.normal_, std=1e-3)), optimizer=SGD),
        "weights_too_small",
    ),
    "bad_init_large": (
        replace(TRAINED, model=lambda: drawn(network(depth=3), nn.init.normal_)),
        "weights_too_large",
    ),
    "linear_collapse": (Run(lambda: network(nn.Identity)), "no_nonlinearity"),
    "unscaled_input": (Run(batches=partial(batches, scale=60.0, shift=100.0), validated=False), "data_scale"),
    "loss_activation_mismatch": (Run(lambda: with_softmax(network())), "loss_mismatch"),
    "dropout_too_high": (Run(lambda: with_layers(nn.Dropout(0.95))), "dropout_high"),
    "normalization_misuse": (
        Run(lambda: with_layers(nn.BatchNorm1d(64)), partial(batches, size=2)),
        "normalization_misuse",
    ),
    "lr_too_high": (replace(TRAINED, optimizer=partial(torch.optim.SGD, lr=100.0)), "learning_rate_high"),
    "lr_too_low": (replace(TRAINED, optimizer=partial(torch.optim.Adam, lr=1e-6)), "learning_rate_low"),
    "oscillation": (replace(PARABOLA, optimizer=partial(torch.optim.SGD, lr=1.35)), "learning_rate_high"),
    "zigzag": (Run(lambda: network(nn.Sigmoid)), "non_zero_centered"),
    "vanishing_through_time": (
        Run(lambda: Rows(nn.RNN, 40), partial(recalled, 40), steps=20, validated=False),
        "recurrent_weights",
    ),
    "overfitting": (
        replace(TRAINED, batches=partial(batches, size=20, count=20), steps=80),
        "capacity_or_label_noise",
    ),
    "underfitting": (
        replace(TRAINED, optimizer=partial(torch.optim.Adam, lr=2e-3, weight_decay=3.0)),
        "weight_decay_high",
    ),
    "double_regularization": (
        replace(TRAINED, model=lambda: with_layers(nn.Dropout(0.5)), optimizer=partial(ADAM, weight_decay=3.0)),
        "weight_decay_high",
    ),
    "gated_by_design": (Run(lambda: nn.Sequential(nn.Linear(64, 8), ReZero(), nn.Linear(3, 10))), "zero_gate"),
    "not_updating": (Run(lambda: frozen(network())), "frozen"),
}
HEALTHY: dict[str, Run] = {
    "rank_collapse": Run(lambda: drawn(network(depth=10), HE)),
    "symmetric_init": Run(lambda: drawn(network(), HE)),
    "bad_init_small": replace(
        TRAINED, model=lambda: drawn(network(depth=3), partial(nn.init.normal_, std=0.05)), optimizer=SGD
    ),
    "bad_init_large": replace(TRAINED, model=lambda: drawn(network(depth=3), HE)),
    "linear_collapse": Run(lambda: nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 64), nn.Linear(64, 10))),
    "unscaled_input": Run(batches=partial(batches, scale=3.0, shift=1.0)),
    "loss_activation_mismatch": Run(lambda: nn.Sequential(network(), nn.LogSoftmax(dim=-1))),
    "dropout_too_high": Run(lambda: with_layers(nn.Dropout(0.5))),
    "normalization_misuse": Run(lambda: with_layers(nn.BatchNorm1d(64)), partial(batches, size=16)),
    "lr_too_high": replace(TRAINED, optimizer=SGD),
    "lr_too_low": TRAINED,
    "oscillation": replace(PARABOLA, optimizer=partial(torch.optim.SGD, lr=0.3)),
    "zigzag": Run(lambda: network(nn.Tanh)),
    "vanishing_through_time": Run(lambda: Rows(nn.RNN, 5), partial(recalled, 5), steps=20, validated=False),
    "overfitting": replace(TRAINED, steps=80),
    "underfitting": replace(TRAINED, optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.01)),
    "double_regularization": replace(
        TRAINED,
        model=lambda: with_layers(nn.Dropout(0.5)),
        optimizer=partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.01),
    ),
    "gated_by_design": Run(),
    "not_updating": Run(lambda: trained_elsewhere(network())),
}


def symptoms(report: Report) -> list[str]:
    return [finding.symptom for finding in report.findings]


def everywhere(report: Report) -> set[str]:
    """What is found, headline or not."""
    return {*symptoms(report), *(c.symptom for f in report.findings for c in f.consequences)}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("symptom", FAILING)
def test_failing_example_is_found_with_its_cause(symptom: str, seed: int) -> None:
    run, cause = FAILING[symptom]
    report = run.check(seed)
    assert symptom in symptoms(report), report.findings
    finding = next(finding for finding in report.findings if finding.symptom == symptom)
    assert finding.causes[0].id == cause
    assert finding.evidence
    for language in ("en", "ko"):
        assert "{" not in terminal.plain(report, Words.of(language))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("symptom", HEALTHY)
def test_healthy_example_is_left_alone(symptom: str, seed: int) -> None:
    report = HEALTHY[symptom].check(seed)
    assert symptom not in everywhere(report), report.findings


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("symptom", ["rank_collapse", "symmetric_init", "linear_collapse", "dropout_too_high"])
def test_verdict_does_not_depend_on_the_scale_of_the_loss(symptom: str, scale: float) -> None:
    torch.manual_seed(0)
    run, _ = FAILING[symptom]
    report = hw.check(run.model(), batches()[0], lambda model, batch: scale * cross_entropy(model, batch))
    assert symptom in everywhere(report)


def test_one_root_has_one_headline() -> None:
    """Rates, weights, units: the step was too long, and all else came of it."""
    report = FAILING["lr_too_high"][0].check()
    assert symptoms(report)[0] == "lr_too_high"
    assert sum(finding.severity != "info" for finding in report.findings) == 1
    assert report.findings[0].severity == "critical"


def test_what_was_there_first_is_the_root() -> None:
    start = Run(lambda: drawn(network(depth=12), partial(nn.init.normal_, std=1.0)), steps=20)
    report = start.check()
    assert symptoms(report)[0] == "exploding"
    assert "lr_too_high" not in symptoms(report)
