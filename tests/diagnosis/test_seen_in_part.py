"""Where one graph, one step or one batch shows a part of the truth, and the rest tells faulty from healthy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headwater.diagnosis.decay import decay_share
from headwater.diagnosis.rule import Observation
from headwater.diagnosis.rules import (
    dead_units,
    linear_collapse,
    loss_activation_mismatch,
    not_updating,
    saturation,
    symmetric_init,
    underfitting,
)
from headwater.probes.measure import measure
from headwater.probes.pairing import pairings
from headwater.records import Dependence, Flow, Training, TrainingStep
from headwater.report.words import Words
from tests.diagnosis.test_competing import Batch, causes, cross_entropy, measured
from tests.diagnosis.test_symptoms import batches


def course(ratios: list[float], losses: list[float] | None = None) -> Training:
    losses = losses or [1.0] * len(ratios)
    steps = zip(losses, ratios, strict=True)
    return Training(tuple(TrainingStep(i, loss, -2.0, 0.0, ratio) for i, (loss, ratio) in enumerate(steps)))


# Layers that are in no graph.


class Features(nn.Module):
    """Random features that nobody trains, and a layer that reads them."""

    def __init__(self, bend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.project, self.out, self.bend = nn.Linear(8, 32).requires_grad_(False), nn.Linear(32, 4), bend

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bend(self.project(x)))


@pytest.mark.parametrize(("bend", "found"), [(torch.cos, []), (lambda x: x, ["no_nonlinearity"])])
def test_what_stands_behind_frozen_layers_is_told_by_what_is_read(bend: Any, found: list[str]) -> None:
    assert causes(linear_collapse.RULE, measured(Features(bend), cross_entropy)) == found


# A last activation that is not the output.


class Headed(nn.Module):
    def __init__(self, after: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.after = nn.Linear(8, 4), after
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        z = self.one(x)
        return self.after(torch.sign(z) * F.relu(z.abs() - 0.1) if self.after is shrunk else F.relu(z), self.scale)


def shrunk(z: Tensor, scale: Tensor) -> Tensor:
    return z * scale


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (lambda z, scale: z, ["loss_mismatch"]),
        (lambda z, scale: z.flatten(1), ["loss_mismatch"]),
        (shrunk, []),
        (lambda z, scale: z - scale, []),
        (lambda z, scale: -3 * z, []),
    ],
)
def test_activation_bounds_only_what_the_loss_compares(after: Any, found: list[str]) -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 8)
    for loss in (F.mse_loss, lambda y, t: (y - t).square().mean(), F.l1_loss):
        flow = measure(Headed(after), (x, x[:, :4]), partial(_applied, loss))
        assert causes(loss_activation_mismatch.RULE, flow) == found


def _applied(loss: Any, model: nn.Module, batch: Any) -> Any:
    return loss(model(batch[0]), batch[1])


def test_other_terms_of_a_loss_do_not_hide_the_bound() -> None:
    torch.manual_seed(0)
    x, model = torch.randn(32, 8), Headed(lambda z, scale: z)

    def penalised(m: Any, b: Batch) -> Tensor:
        return F.mse_loss(m(b[0]), b[1]) + 1e-3 * sum(p.square().sum() for p in model.parameters())

    def of_two(m: Any, b: Batch) -> Tensor:
        y = m(b[0])
        return F.mse_loss(y, b[1]) + 0.5 * F.l1_loss(y, b[1])

    for loss in (penalised, of_two):
        flow = measure(model, (x, x[:, :4]), loss)
        assert causes(loss_activation_mismatch.RULE, flow) == ["loss_mismatch"]


# A call that takes no step.


def after_a_call(steps: bool, ratios: list[float], held: bool = True) -> Flow:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters() if held else model[2].parameters(), 0.1 if steps else 0.0)
    flow = measure(model, (torch.randn(32, 8), torch.randint(4, (32,))), cross_entropy, optimizer=optimizer)
    return replace(flow, training=course(ratios))


MOVING = 12 * [0.01]


def test_call_between_two_steps_leaves_nothing_still() -> None:
    assert causes(not_updating.RULE, after_a_call(False, MOVING)) == []
    assert causes(not_updating.RULE, after_a_call(False, 12 * [0.0])) == ["learning_rate_low"]
    # A rate that has run out moved the weights too, once.
    assert causes(not_updating.RULE, after_a_call(False, [*4 * [0.01], *8 * [0.0]])) == ["learning_rate_low"]
    assert causes(not_updating.RULE, after_a_call(False, MOVING, held=False)) == ["optimizer_params"]


# Samples without a label.


def labelled(share: float, mark: int, shuffled: bool = False) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for x, y in batches():
        y = y[torch.randperm(len(y), generator=generator)] if shuffled else y
        known = torch.rand(len(y), generator=generator) < share
        found.append((x, torch.where(known, y, mark)))
    return found


def known_only(model: Any, batch: Batch) -> Tensor:
    known = batch[1] >= 0
    return F.cross_entropy(model(batch[0])[known], batch[1][known])


@pytest.mark.parametrize("mark", [-1, -100])
def test_labels_that_are_not_known_are_no_class(mark: int) -> None:
    model = nn.Linear(64, 10).eval()
    with torch.no_grad():
        seen, unseen = pairings(model, labelled(0.3, mark), labelled(1.0, mark), known_only)
        wrong, _ = pairings(model, labelled(0.3, mark, shuffled=True), labelled(1.0, mark), known_only)
    assert seen is not None
    assert unseen is not None
    assert wrong is not None
    assert seen.samples == unseen.samples >= 64
    assert seen.explained > 0.8 * unseen.explained > 0
    assert wrong.explained < 0.2


def test_signs_are_two_classes() -> None:
    with torch.no_grad():
        signs = [(x, torch.where(y < 5, -1, 1)) for x, y in batches()]
        seen, _ = pairings(nn.Linear(64, 1).eval(), signs, signs, lambda m, b: (m(b[0])[:, 0] * b[1]).mean())
    assert seen is not None
    assert seen.explained > 0.5


# Units that are all alike because nothing reaches them.


def dead(biases: float) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)]
    for layer in (layers[0], layers[2]):
        nn.init.constant_(layer.get_parameter("bias"), biases)
    return nn.Sequential(*layers)


def test_layers_behind_dead_units_are_not_called_alike() -> None:
    flow = measured(dead(-50.0), cross_entropy)
    assert causes(symmetric_init.RULE, flow) == []
    assert causes(dead_units.RULE, flow) == ["dead_relu"]
    alike = dead(0.1)
    nn.init.constant_(alike[2].weight, 0.1)
    assert causes(symmetric_init.RULE, measured(alike, cross_entropy)) == ["init_mismatch"]


# Logits that are cut off.


def cut(bias: float, head: bool = True) -> nn.Module:
    torch.manual_seed(0)
    last = nn.Linear(16, 4)
    with torch.no_grad():
        last.bias += torch.tensor([bias, 2.0, 2.0, 2.0])
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), last, nn.ReLU() if head else nn.Identity(), nn.Dropout(0.0))


def test_classes_whose_logits_are_cut_off_for_good_are_named() -> None:
    (found,) = loss_activation_mismatch.RULE.look(Observation(measured(cut(-9.0), cross_entropy), None))
    assert (found.message.id, found.message.values["dead"]) == ("finding.loss_cut_off", 1)
    assert found.sites == ("3",)
    for language in ("en", "ko"):
        said = [Words.of(language).say(m) for m in (found.message, found.causes[0].why)]
        assert all("ReLU" in text or "4" in text for text in said)
    assert causes(loss_activation_mismatch.RULE, measured(cut(2.0), cross_entropy)) == []
    assert causes(loss_activation_mismatch.RULE, measured(cut(-9.0, head=False), cross_entropy)) == []
    squared = measured(cut(-9.0), lambda m, b: (m(b[0]) - 1).square().mean())
    assert "finding.loss_cut_off" not in [
        f.message.id for f in loss_activation_mismatch.RULE.look(Observation(squared, None))
    ]


# Sigmoids that weights of no layer come after.


class Weighed(nn.Module):
    def __init__(self, sharp: float, weighed: bool) -> None:
        super().__init__()
        self.split, self.sharp = nn.Linear(8, 16), sharp
        self.leaves = nn.Parameter(torch.randn(16, 4)) if weighed else None

    def forward(self, x: Tensor) -> Tensor:
        right = torch.sigmoid(self.sharp * self.split(x))
        return right @ self.leaves if self.leaves is not None else right[:, :4]


@pytest.mark.parametrize(("sharp", "weighed", "found"), [(100.0, True, 1), (1.0, True, 0), (100.0, False, 0)])
def test_sigmoid_is_hidden_where_trained_weights_come_after_it(sharp: float, weighed: bool, found: int) -> None:
    torch.manual_seed(0)
    flow = measured(Weighed(sharp, weighed), cross_entropy)
    assert len(list(saturation.RULE.look(Observation(flow, None)))) == found


# Targets that no output comes near, and decay inside a normalised step.


@pytest.mark.parametrize(("offset", "cause"), [(1e4, "data_scale"), (0.0, "capacity_or_label_noise")])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_targets_beyond_all_outputs_are_the_reason(offset: float, cause: str, sign: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 8)
    flow = measure(nn.Linear(8, 1), (x, sign * (offset + x[:, :1])), lambda m, b: F.mse_loss(m(b[0]), b[1]))
    nothing = Dependence(1.0, 1.0001, 0.0001)
    training = course(40 * [0.05], [1.0 - 0.01 * step for step in range(40)])
    training = replace(training, dependence=nothing, validation_dependence=nothing)
    (found,) = underfitting.RULE.look(Observation(replace(flow, training=training), None))
    assert [c.id for c in found.causes] == [cause]
    if offset:
        for language in ("en", "ko"):
            assert "10" in Words.of(language).say(found.causes[0].why)


@pytest.mark.parametrize("make", [torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax])
def test_decay_is_a_gradient_to_all_of_adams_family(make: Any) -> None:
    def pulled(rate: float, **options: Any) -> float:
        torch.manual_seed(0)
        model = nn.Linear(8, 4)
        optimizer = make(model.parameters(), lr=rate, **options)
        batch = torch.randn(32, 8), torch.randint(4, (32,))
        flow = measure(model, batch, cross_entropy, optimizer=optimizer)
        return decay_share(replace(flow, training=course(12 * [0.01]))) or 0.0

    # However long the steps are, the part of them that decay has is its part of the gradient.
    assert pulled(1e-5, weight_decay=30.0) == pulled(1e-2, weight_decay=30.0)
    assert 1.0 >= pulled(1e-5, weight_decay=30.0) > 0.95 > 0.1 > pulled(1e-2, weight_decay=1e-3)
    if make is not torch.optim.Adamax:  # lr · λ over ‖Δw‖/‖w‖
        assert pulled(1e-2, weight_decay=0.1, decoupled_weight_decay=True) == pytest.approx(0.1)
