"""What alarms a rule without being wrong, each beside a twin that is."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.demo import digits
from headwater.diagnosis import diagnose
from headwater.diagnosis.rule import Observation
from headwater.diagnosis.rules import oscillation
from headwater.probes.samples import inputs_and_targets
from headwater.records import Finding, Score
from headwater.report import Report
from tests.diagnosis.test_symptoms import PARABOLA, TRAINED, Batch, Run, batches, drawn, network, symptoms


def warned(report: Report) -> list[str]:
    return [finding.symptom for finding in report.findings if finding.severity != "info"]


def finding_of(report: Report, symptom: str) -> Finding:
    return next(finding for finding in report.findings if finding.symptom == symptom)


# Targets that the loss never looks at.


class Density(nn.Module):
    """How likely a sample is: one half by a Gaussian, the other by one that the first half moves and stretches."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> Tensor:
        one, other = x[:, :32], x[:, 32:]
        stretch, shift = self.net(one).chunk(2, 1)
        stretch = torch.tanh(stretch)
        return (stretch - 0.5 * (other * stretch.exp() + shift).square()).mean(1)


def surprise(model: Any, batch: Batch) -> Tensor:
    return -model(batch[0]).mean()


def named(batch: Batch) -> dict[str, Tensor]:
    return {"pixels": batch[0], "digit": batch[1]}


def test_labels_that_the_loss_does_not_read_are_no_targets() -> None:
    batch, model = batches()[0], network()
    assert len(inputs_and_targets(model, batch, lambda m, b: m(b[0]).square().mean())[1]) == 0
    (labels,) = inputs_and_targets(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1]))[1]
    assert torch.equal(labels, batch[1])  # a copy: what a loss does to its batch stays with it
    by_name = inputs_and_targets(model, named(batch), lambda m, b: F.cross_entropy(m(b["pixels"]), b["digit"].view(-1)))
    assert len(by_name[1]) == 1
    still = nn.Linear(64, 10)
    nn.init.zeros_(still.weight)
    nn.init.zeros_(still.bias)  # its loss is the same whatever the labels are
    assert len(inputs_and_targets(still, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1]))[1]) == 1


def test_density_has_nothing_that_its_inputs_could_be_paired_with() -> None:
    run = Run(Density, loss=surprise, validated=False, steps=60, optimizer=partial(torch.optim.Adam, lr=1e-3))
    report = run.check()
    assert report.flow.training is not None
    assert report.flow.training.dependence is None
    assert report.flow.training.pairing is None
    assert warned(report) == []


def drawn_anew() -> list[Batch]:
    return [(x, y[torch.randperm(len(y))]) for x, y in batches()]


def test_labels_that_the_loss_reads_are_seen_not_to_belong() -> None:
    assert "underfitting" in warned(replace(TRAINED, batches=drawn_anew, steps=200).check())


# A bias that drops out of the loss.


class Hill(nn.Module):
    """A height whose slope is asked for."""

    def __init__(self, cut: bool = False) -> None:
        super().__init__()
        self.enter, self.inner, self.leave, self.cut = nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 1), cut

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x))
        h = torch.tanh(self.inner(h.detach() if self.cut else h))
        return self.leave(h)


def slopes(model: Any, batch: Batch) -> Tensor:
    with torch.enable_grad():
        x = batch[0].clone().requires_grad_(True)
        return F.mse_loss(torch.autograd.grad(model(x).sum(), x, create_graph=True)[0], batch[1])


def hills() -> list[Batch]:
    x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    return [(part, part.cos()) for part in x.split(64)]


def test_bias_that_drops_out_of_the_loss_is_noted() -> None:
    report = Run(Hill, hills, steps=30, validated=False, loss=slopes).check()
    assert warned(report) == []
    assert finding_of(report, "not_updating").sites == ("leave.bias",)


def test_layer_that_is_cut_off_is_warned_of() -> None:
    def loss(model, batch):
        return F.mse_loss(model(batch[0])[:, 0], batch[1][:, 0])

    report = Run(partial(Hill, cut=True), hills, steps=30, validated=False, loss=loss).check()
    assert finding_of(report, "not_updating").severity == "warning"
    assert set(finding_of(report, "not_updating").sites) == {"enter.weight", "enter.bias"}


# A softmax or a sigmoid that weighs what the loss reads.


class Mixed(nn.Module):
    """Experts behind a gate; those who mix their answers may put the softmax there, too."""

    def __init__(self, gate: str = "softmax", twice: bool = False) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(64, 4), nn.ModuleList(nn.Linear(64, 10) for _ in range(4))
        self.weigh = nn.Softmax(1) if gate == "softmax" else nn.Sigmoid()
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        said = torch.stack([expert(x) for expert in self.experts], 1)
        mixed = (self.weigh(self.gate(x))[:, :, None] * said).sum(1)
        return mixed.softmax(1) if self.twice else mixed


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_gate_is_not_what_the_loss_reads(gate: str) -> None:
    assert warned(Run(partial(Mixed, gate), steps=30).check()) == []
    report = Run(partial(Mixed, gate, twice=True), steps=30).check()
    assert "loss_activation_mismatch" in warned(report)


# Opposed gradients, flat ends.


def with_scores(report: Report, *scores: Score) -> Report:
    training = report.flow.training
    assert training is not None
    flow = replace(report.flow, training=replace(training, scores=scores))
    return replace(report, flow=flow, diagnosis=diagnose(flow))


def with_uneven_batches(report: Report) -> Report:
    """The same as if the loss were told on two batches in turn, and did not fall."""
    training = report.flow.training
    assert training is not None
    steps = tuple(replace(step, loss=(0.7, 0.6)[index % 2]) for index, step in enumerate(training.steps))
    return replace(report, flow=replace(report.flow, training=replace(training, steps=steps)))


def turns(report: Report) -> str:
    """How bad the rule finds it by itself, before another finding explains it."""
    (found,) = oscillation.RULE.look(Observation(report.flow, None))
    return found.severity


def test_opposed_gradients_are_noted_where_the_loss_falls_on_the_same_samples() -> None:
    turning = with_uneven_batches(replace(PARABOLA, optimizer=partial(torch.optim.SGD, lr=1.37)).check())
    falling = [Score(step, loss, loss) for step, loss in ((0, 0.69), (10, 0.66), (20, 0.655), (30, 0.65))]
    assert turns(with_scores(turning, *falling)) == "info"
    back_up = [*falling[:-1], Score(30, 0.688, 0.65)]
    assert turns(with_scores(turning, *back_up)) == "warning"
    assert turns(with_scores(turning)) == "warning"


def wide_tanh(std: float) -> nn.Module:
    return drawn(network(nn.Tanh, depth=3), partial(nn.init.normal_, std=std))


def test_flat_ends_are_noted_where_the_training_got_half_way() -> None:
    report = replace(TRAINED, model=partial(wide_tanh, 0.6)).check()
    found = finding_of(report, "saturation")
    assert 0.5 < float(found.evidence[0].value or 0.0) < 0.9
    at_first, little, much = Score(0, 2.3, 2.3, 0.1, 0.1), Score(30, 2.0, 2.0, 0.4, 0.4), Score(30, 0.7, 0.7, 0.8, 0.8)
    assert finding_of(with_scores(report, at_first, little), "saturation").severity == "warning"
    assert finding_of(with_scores(report, at_first, much), "saturation").severity == "info"


# Numbers below the normal ones.


def in_half(factor: float) -> hw.Experiment:
    def loss(model: Any, batch: Batch) -> Tensor:
        return factor * F.cross_entropy(model(batch[0].half()).float(), batch[1])

    return hw.Experiment(
        model=lambda: network(nn.GELU, depth=3).half(),
        batches=batches,
        loss=loss,
        optimizer=partial(torch.optim.Adam, lr=2e-3, eps=1e-3) if factor == 1 else partial(torch.optim.SGD, lr=1e4),
        validation=lambda: [digits()[1]],
    )


def test_small_entries_beside_large_ones_lose_nothing() -> None:
    report = hw.check(in_half(1.0), steps=60, seed=0)
    gradients = [row.activation_grad for row in report.flow.sites if row.activation_grad is not None]
    assert any(2 * g.subnormal_count > g.finite_count - g.zero_count for g in gradients)
    assert warned(report) == []


def test_all_small_gradients_are_lost() -> None:
    report = hw.check(in_half(1e-5), steps=10, seed=0)
    assert symptoms(report)[0] == "underflow"
    assert report.findings[0].severity != "info"


def by_class(model: nn.Module, batch: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@pytest.mark.parametrize("inputs", [1, 2, 5])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_inputs_centred_over_the_whole_batch_do_not_make_units_copies(inputs: int, activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    x = torch.randn(48, inputs)
    x = (x - x.mean(0)) / x.std(0)  # of all samples, and the batch is all of them
    model = nn.Sequential(nn.Linear(inputs, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 2))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    batch = (x, torch.arange(48) % 2)
    report = hw.check(model, batch, by_class)
    assert "symmetric_init" not in [finding.symptom for finding in report.findings]
    with torch.no_grad():  # whereas these are copies, trained apart from one number or not
        model[0].weight.copy_(model[0].weight[:1].expand_as(model[0].weight))
        model[0].bias.fill_(0.3)
    report = hw.check(model, batch, by_class)
    assert "symmetric_init" in [finding.symptom for finding in report.findings]
