"""Where two rules could claim one program: each pair beside the evidence that tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from headwater.diagnosis.decay import decay_share
from headwater.diagnosis.folding import folded
from headwater.diagnosis.fresh import never_trained
from headwater.diagnosis.rule import Observation
from headwater.diagnosis.rules import (
    bad_init_large,
    linear_collapse,
    loss_activation_mismatch,
    lr_too_high,
    lr_too_low,
    not_updating,
    underfitting,
)
from headwater.diagnosis.waterfall import waterfall
from headwater.probes.measure import measure
from headwater.records import Cause, Dependence, Finding, Flow, Message, Score, Setup, Training, TrainingStep
from headwater.records.finding import Severity

Batch = tuple[Tensor, Tensor]


def measured(model: nn.Module, loss: Callable[[Any, Batch], Tensor], width: int = 8, classes: int = 4) -> Flow:
    torch.manual_seed(1)
    batch = torch.randn(32, width), torch.randint(classes, (32,))
    return measure(model, batch, loss)


def causes(rule: Any, flow: Flow) -> list[str]:
    return [finding.causes[0].id for finding in rule.look(Observation(flow, waterfall(flow)))]


def cross_entropy(model: Any, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


# Linear layers in a row, and side by side.


class Layers(nn.Module):
    def __init__(self, in_a_row: bool, make: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> None:
        super().__init__()
        self.one = make(nn.Linear(8, 8 if in_a_row else 4))
        self.other, self.in_a_row = nn.Linear(8, 4), in_a_row

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x)) if self.in_a_row else self.one(x) + self.other(x.flip(1))


def test_layers_that_are_added_up_are_no_stack() -> None:
    assert causes(linear_collapse.RULE, measured(Layers(True), cross_entropy)) == ["no_nonlinearity"]
    assert causes(linear_collapse.RULE, measured(Layers(False), cross_entropy)) == []


@pytest.mark.parametrize("make", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_what_weights_are_made_with_does_not_bend(make: Callable[[nn.Module], nn.Module]) -> None:
    flow = measured(Layers(True, make), cross_entropy)
    assert causes(linear_collapse.RULE, flow) == ["no_nonlinearity"]
    assert set(flow.setup.operations) > set(flow.setup.signal_operations or ())


# What a loss reads, and what another of its terms does.


def sided(squash: bool) -> Callable[[Any, Batch], Tensor]:
    """A cross-entropy of two classes beside the overlap of what is told, of probabilities twice if asked for."""

    def loss(model: Any, batch: Batch) -> Tensor:
        logits, wanted = model(batch[0])[:, 0], (batch[1] > 1).float()
        told = logits.sigmoid()
        overlap = (told * wanted).sum() / (told.sum() + wanted.sum())
        return F.binary_cross_entropy_with_logits(told if squash else logits, wanted) - overlap

    return loss


def ordinal(squash: bool) -> Callable[[Any, Batch], Tensor]:
    def loss(model: Any, batch: Batch) -> Tensor:
        logits = model(batch[0])
        shares = logits.softmax(1)
        apart = ((shares * torch.arange(4)).sum(1) - batch[1]).abs().mean()
        return F.cross_entropy(shares if squash else logits, batch[1]) + apart

    return loss


@pytest.mark.parametrize("kind", [sided, ordinal])
@pytest.mark.parametrize("squash", [False, True])
def test_another_term_may_squash(kind: Callable[[bool], Callable[[Any, Batch], Tensor]], squash: bool) -> None:
    flow = measured(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), kind(squash))
    assert causes(loss_activation_mismatch.RULE, flow) == (["loss_mismatch"] if squash else [])


def aligned(last: Callable[..., Tensor]) -> Callable[[Any, Batch], Tensor]:
    """CTC of one symbol in eight places."""

    def loss(model: Any, batch: Batch) -> Tensor:
        told = last(model(batch[0])[None].expand(8, -1, -1), dim=2)
        lengths = torch.full((32,), 8), torch.full((32,), 1)
        return F.ctc_loss(told, 1 + batch[1][:, None] % 3, *lengths)

    return loss


def likely(last: Callable[..., Tensor]) -> Callable[[Any, Batch], Tensor]:
    return lambda model, batch: F.nll_loss(last(model(batch[0]), dim=1), batch[1])


@pytest.mark.parametrize("kind", [aligned, likely])
def test_losses_of_logarithms_are_not_for_probabilities(kind: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    assert causes(loss_activation_mismatch.RULE, measured(model, kind(torch.log_softmax))) == []
    assert causes(loss_activation_mismatch.RULE, measured(model, kind(torch.softmax))) == ["loss_mismatch"]
    by_hand = measured(model, kind(lambda x, dim: x.softmax(dim).log()))
    assert causes(loss_activation_mismatch.RULE, by_hand) == []


def test_each_of_several_outputs_is_held_against_one_target() -> None:
    def quantiles(model: Any, batch: Batch) -> Tensor:
        over = batch[1][:, None] - model(batch[0])
        return torch.maximum(0.9 * over, -0.1 * over).mean()

    torch.manual_seed(1)
    x = torch.randn(32, 8)
    for last, targets, found in (
        (nn.Sigmoid(), x[:, 0], ["cause.loss_mismatch.range"]),
        (nn.Sigmoid(), x[:, 0].sigmoid(), []),
        (nn.Identity(), x[:, 0], []),
    ):
        flow = measure(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3), last), (x, targets), quantiles)
        looked = loss_activation_mismatch.RULE.look(Observation(flow, None))
        assert [finding.causes[0].why.id for finding in looked] == found


# Steps that are too long, and decay; a loss that rises, and a metric that does.


def trained(losses: list[float], ratios: list[float], metrics: tuple[float, ...], **settings: float) -> Flow:
    steps = tuple(
        TrainingStep(i, loss, -2.0, 0.0, ratio) for i, (loss, ratio) in enumerate(zip(losses, ratios, strict=True))
    )
    scores = tuple(Score(i, 1.0, 1.0, metric, metric) for i, metric in enumerate(metrics))
    setup = Setup(optimizer=dict(settings))
    return Flow((), (), None, losses[-1], optimizer="AdamW", step=40, setup=setup, training=Training(steps, scores))


THROWN = [2.3, 2400.0, 700.0, *(200.0 - 4 * step for step in range(37))]


@pytest.mark.parametrize(("first", "rate_is_it"), [(20.0, True), (0.5, False)])
def test_what_threw_the_weights_away_is_not_what_pulls_them_back(first: float, rate_is_it: bool) -> None:
    flow = trained(THROWN, [first, *39 * [0.01]], (0.1, 0.1, 0.1), lr=1.5, weight_decay=0.01)
    assert (decay_share(flow) == 0.0) == rate_is_it
    assert causes(lr_too_high.RULE, flow) == (["learning_rate_high"] if rate_is_it else [])
    assert ("weight_decay_high" in causes(underfitting.RULE, flow)) != rate_is_it


def test_coming_back_from_where_a_step_threw_it_is_no_learning() -> None:
    back = [8.0, 600.0, 100.0, *37 * [2.2]]
    for metrics in ((0.15, 0.16, 0.15), (0.15, 0.3, 0.5)):
        # A step of half the weights leaves something of the start, and what comes back from there may well learn.
        for longest, found in ((40.0, True), (0.5, False)):
            assert bool(causes(lr_too_high.RULE, trained(back, [longest, *39 * [0.009]], metrics))) == found


RISING = [0.93 + 0.01 * step for step in range(40)]


@pytest.mark.parametrize(
    ("metrics", "found"), [((0.0, 0.2, 0.4), False), ((0.0, 0.4, 0.3), True), ((0.0, 0.05, 0.1), True)]
)
def test_loss_may_rise_while_the_metric_is_at_its_best(metrics: tuple[float, ...], found: bool) -> None:
    assert bool(causes(lr_too_high.RULE, trained(RISING, 40 * [0.02], metrics))) == found


def test_no_longer_step_follows_a_gradient_that_is_zero() -> None:
    flow = trained(40 * [20.0], 40 * [0.0], (0.1, 0.1))
    assert flow.training is not None
    assert causes(lr_too_low.RULE, flow) == ["learning_rate_low"]
    still = [replace(step, log10_gradient=float("-inf")) for step in flow.training.steps[:-5]]
    silent = replace(flow.training, steps=(*still, *flow.training.steps[-5:]))
    assert causes(lr_too_low.RULE, replace(flow, training=silent)) == []


# Weights that no step reaches, and what follows of that.


def finding(symptom: str, cause: str, severity: Severity = "warning") -> Finding:
    return Finding(symptom, severity, (), (), (Cause(cause, None, Message("x")),), (), Message("x"))


@pytest.mark.parametrize("cause", ["optimizer_params", "detached_graph", "frozen"])
@pytest.mark.parametrize(
    "other",
    [
        finding("lr_too_high", "learning_rate_high", "critical"),
        finding("rank_collapse", "depth_without_shortcut", "critical"),
        finding("vanishing_through_time", "recurrent_weights"),
    ],
)
def test_weights_that_no_step_reaches_come_first(cause: str, other: Finding) -> None:
    (root,) = folded([other, finding("not_updating", cause)], frozenset({other.symptom}))
    assert root.symptom == "not_updating"
    assert [below.symptom for below in root.consequences] == [other.symptom]
    assert folded([other, finding("not_updating", cause, "info")], frozenset())[0].symptom == other.symptom


class Rounded(nn.Module):
    def __init__(self, straight: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.head, self.straight = nn.Linear(8, 4), straight

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            rounded = (layer.weight * 8).round() / 8
            weight = layer.weight + (rounded - layer.weight).detach() if self.straight else rounded
            x = F.relu(F.linear(x, weight, layer.bias))
        return self.head(x)


def test_rounding_has_no_slope() -> None:
    torch.manual_seed(0)
    found = list(not_updating.RULE.look(Observation(measured(Rounded(False), cross_entropy), None)))
    assert [f.causes[0].why.id for f in found] == ["cause.detached_graph.flat"]
    assert found[0].sites == tuple(f"layers.{i}.weight" for i in range(3))
    assert causes(not_updating.RULE, measured(Rounded(True), cross_entropy)) == []


def small(trained_for: int) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(trained_for):
        x = torch.randn(64, 8)
        optimizer.zero_grad()
        F.cross_entropy(model(x), x[:, :4].argmax(1)).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize(("steps", "names"), [(0, ["0.weight", "2.weight"]), (100, [])])
def test_small_layers_are_told_together(steps: int, names: list[str]) -> None:
    model = small(steps)
    for layer in (0, 2):
        model.get_submodule(str(layer)).requires_grad_(False)
    assert [p.name for p in never_trained(measured(model, cross_entropy))] == names


# Weights that start too large, by what comes of it.


def large(std: float) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    return model


def clamped(model: Any, batch: Batch) -> Tensor:
    return (model(batch[0])[:, 0].square() + 1e4).clamp(max=20).mean()


def absolute(model: Any, batch: Batch) -> Tensor:
    return (model(batch[0])[:, 0] - batch[1]).abs().mean()


def test_loss_that_is_flat_out_there_comes_of_the_weights() -> None:
    for std, found in ((2.0, ["finding.bad_init_large_flat"]), (0.1, [])):
        flow = measured(large(std), clamped)
        assert [f.message.id for f in bad_init_large.RULE.look(Observation(flow, None))] == found


@pytest.mark.parametrize(("exchanged", "found"), [(100.01, "fall"), (140.0, "most")])
def test_loss_that_only_comes_back_has_learnt_nothing(exchanged: float, found: str) -> None:
    course = trained([1000.0 * 0.93**step for step in range(40)], 40 * [0.002], ())
    assert course.training is not None
    known = Dependence(100.0, exchanged, 0.01)
    training = replace(course.training, dependence=known, validation_dependence=known)
    flow = measured(large(2.0), absolute)
    flow = replace(flow, setup=replace(flow.setup, targets=None), training=training)
    told = [f.message.id for f in bad_init_large.RULE.look(Observation(flow, None))]
    assert told == [f"finding.bad_init_large_{found}"]
    assert not causes(bad_init_large.RULE, replace(measured(large(0.1), absolute), training=training))
