"""What is seen of a fault by what it does, whatever the module that does it is called."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.report import Report, terminal
from headwater.report.words import Words
from tests.diagnosis.test_symptoms import TRAINED, Run, drawn, network, recalled, symptoms


def said(report: Report) -> str:
    for language in ("en", "ko"):
        text = terminal.plain(report, Words.of(language))
        assert "finding." not in text
        assert "cause." not in text
    return report.findings[0].message.id if report.findings else ""


class Loop(nn.Module):
    """A cell that somebody steps through a sequence, and may detach after some steps."""

    def __init__(self, cut: range = range(0)) -> None:
        super().__init__()
        self.cell, self.head, self.cut = nn.GRUCell(4, 32), nn.Linear(32, 4), cut

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 32)
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            state = state.detach() if step in self.cut else state
        return self.head(state)


STEPS = 6
LOOP = Run(Loop, batches=partial(recalled, STEPS), optimizer=partial(torch.optim.Adam, lr=1e-2), validated=False)


def test_a_state_that_is_cut_at_every_step_is_seen() -> None:
    report = replace(LOOP, model=lambda: Loop(range(STEPS - 1))).check(0)
    assert said(report) == "finding.vanishing_through_time_cut"
    first = report.findings[0]
    assert (first.severity, first.causes[0].id, first.sites) == ("warning", "detached_graph", ("cell",))


@pytest.mark.parametrize("cut", [range(0), range(2, 3)], ids=["whole", "truncated now and then"])
def test_a_state_that_is_handed_on_is_not(cut: range) -> None:
    assert "vanishing_through_time" not in symptoms(replace(LOOP, model=lambda: Loop(cut)).check(0))


class DropSamples(nn.Module):
    """Stochastic depth by another name."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.rand(len(x), 1) >= self.share
        return x * kept / (1.0 - self.share) if self.training else x


class KeepLargest(nn.Module):
    """A few values of each sample, as they are: sparse by design."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (x >= x.topk(3, dim=-1).values[..., -1:])


class Branch(nn.Module):
    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.inward, self.after, self.out = nn.Linear(64, 64), after, nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + self.after(torch.tanh(self.inward(x))))


def test_dropping_of_ones_own_is_measured() -> None:
    report = Run(lambda: Branch(DropSamples(0.95))).check(0)
    first = report.findings[0]
    assert (first.symptom, first.causes[0].id, first.sites) == ("dropout_too_high", "dropout_high", ("after",))
    assert first.evidence[0].value == pytest.approx(0.95, abs=0.08)
    said(report)


@pytest.mark.parametrize("module", [DropSamples(0.3), KeepLargest(), nn.Identity()], ids=["little", "sparse", "none"])
def test_what_keeps_enough_or_scales_nothing_up_is_no_dropout(module: nn.Module) -> None:
    assert "dropout_too_high" not in symptoms(Run(lambda: Branch(module)).check(0))


def normalised(momentum: float) -> nn.Module:
    layers = [nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU()]
    layers += [nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(), nn.Linear(64, 10)]
    return drawn_small(nn.Sequential(*layers))


def drawn_small(model: nn.Sequential) -> nn.Sequential:
    return drawn(model, partial(nn.init.normal_, std=0.5))


def test_statistics_that_hardly_move_fail_in_use() -> None:
    report = replace(TRAINED, model=lambda: normalised(1e-5), steps=40).check(0)
    assert symptoms(report)[0] == "normalization_misuse"
    assert said(report) == "finding.normalization_never_moving"


@pytest.mark.parametrize("momentum", [0.1, 0.05])
def test_statistics_that_follow_do_not(momentum: float) -> None:
    assert "normalization_misuse" not in symptoms(
        replace(TRAINED, model=lambda: normalised(momentum), steps=40).check(0)
    )


def test_what_a_bad_start_has_cost_is_told_though_it_has_healed() -> None:
    small = replace(TRAINED, model=lambda: drawn(network(depth=6), partial(nn.init.normal_, std=0.01)), steps=60)
    report = small.check(0)
    assert report.verdict == "findings"
    assert report.findings[0].causes[0].id in ("weights_too_small", "init_mismatch")


class Gated(nn.Module):
    """Two residual blocks, each with a gate of its own."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.Sigmoid()) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(2))
        self.head = nn.Linear(64, 10)
        for gate in self.gates:
            nn.init.constant_(gate[0].bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        for gate, block in zip(self.gates, self.blocks, strict=True):
            x = x + gate(x) * block(x)
        return self.head(x)


def test_gates_that_nothing_can_open_are_seen() -> None:
    report = Run(lambda: Gated(-20.0)).check(0)
    first = report.findings[0]
    assert (first.symptom, first.causes[0].id) == ("saturation", "saturated_activation")
    assert first.sites == ("gates.0.1", "gates.1.1")
    said(report)


@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_gates_that_begin_nearly_closed_are_by_design(bias: float) -> None:
    assert Run(lambda: Gated(bias)).check(0).verdict == "healthy"


def warming_up(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.0)


def test_a_single_step_of_a_warm_up_is_no_finding_and_a_training_without_steps_is() -> None:
    assert Run(optimizer=warming_up).check(0).verdict == "healthy"
    still = replace(TRAINED, optimizer=warming_up).check(0)
    assert (still.findings[0].symptom, still.findings[0].severity) == ("not_updating", "critical")


def test_units_that_a_step_has_killed_are_the_rates_doing() -> None:
    killed = replace(TRAINED, optimizer=partial(torch.optim.Adam, lr=1.0)).check(0)
    assert killed.findings[0].causes[0].id == "learning_rate_high"


def killed_by_bias() -> nn.Module:
    model = network()
    nn.init.constant_(model[2].bias, -50.0)
    return model


def test_units_that_were_dead_before_any_step_are_not() -> None:
    report = replace(TRAINED, model=killed_by_bias, optimizer=partial(torch.optim.SGD, lr=0.05)).check(0)
    dead = next(finding for finding in report.findings if finding.symptom == "dead_units")
    assert dead.causes[0].id == "dead_relu"


class ThroughArgmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choice, self.table, self.head = nn.Linear(64, 32), nn.Embedding(32, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(self.choice(x).argmax(1)))


def test_what_bends_behind_a_cut_is_not_missed() -> None:
    report = Run(ThroughArgmax).check(0)
    assert [(f.symptom, f.causes[0].id) for f in report.findings] == [("not_updating", "detached_graph")]


def test_two_units_for_ten_classes_are_too_few() -> None:
    narrow = nn.Sequential(nn.Linear(64, 2), nn.Tanh(), nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 10))
    report = hw.check(replace(TRAINED, model=lambda: narrow, steps=20).experiment(), steps=20, seed=0)
    first = report.findings[0]
    assert (first.symptom, first.sites, first.causes[0].id) == ("underfitting", ("0",), "capacity_or_label_noise")
    said(report)
