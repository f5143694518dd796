"""Odd models, optimizers, losses and data: an intervention changes what it says it changes, or says that it cannot."""

from __future__ import annotations

import math
import re
from collections import UserDict
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.intervening import verdict
from headwater.intervening.branch import Branch, grow
from headwater.intervening.changes import CHANGES
from headwater.intervening.changes.change import Change
from headwater.intervening.failed_number import FailedNumber
from headwater.intervening.verdict import judged
from headwater.probes.measure import measure
from headwater.records import Finding, Intervention, Message
from headwater.remedies.order import order_of_flow
from headwater.report import terminal
from headwater.report.words import Words
from tests.diagnosis.test_symptoms import FAILING, TRAINED, Run, network
from tests.intervening.test_interventions import PLANTED, Detached, finding_of, tried

SHORT = hw.Budget(steps=12, repeats=2)
FINDING = Finding("lr_too_low", "warning", (), (), (), (), Message("symptom.lr_too_low"))


def answer(run: Run, symptom: str, change: str, budget: hw.Budget = SHORT) -> Intervention:
    return tried(finding_of(run.check(0, intervene=budget), symptom), change)


def why(found: Intervention) -> str:
    return found.why.id if found.why is not None else ""


def change(name: str) -> Change:
    return next(change for change in CHANGES if change.id == name)


def branch_of(run: Run) -> Branch:
    torch.manual_seed(0)
    experiment, model, batches = run.experiment(), run.model(), run.batches()[:13]
    flow = measure(model, batches[0], run.loss)
    return Branch(model, experiment, batches, batches[:1], flow, order_of_flow(flow), 0)


def test_lbfgs_moves_the_parameters_it_is_given_in_place_of_others() -> None:
    run = Run(optimizer=lambda parameters: torch.optim.LBFGS(network().parameters(), lr=0.1, max_iter=2))
    assert answer(run, "not_updating", "all_parameters").gone == 2


def stepped(parameters: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(parameters, lr=1e-5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


def test_a_schedule_that_sets_the_rate_at_each_step_does_not_undo_a_changed_one() -> None:
    without = Run(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-5), steps=12)
    first, second = (answer(run, "not_updating", "rate_100") for run in (replace(without, optimizer=stepped), without))
    assert first.loss == second.loss
    assert first.loss is not None
    assert first.loss.surely_better


def test_a_schedule_goes_on_from_its_own_rate() -> None:
    seen: list[float] = []

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=1.0)
        schedule = torch.optim.lr_scheduler.ExponentialLR(made, 0.5)
        made.register_step_post_hook(lambda *_: (schedule.step(), seen.append(made.param_groups[0]["lr"])))
        return made

    branch = branch_of(replace(TRAINED, optimizer=optimizer))
    change("rate_10th").make(branch)
    grow(branch)
    assert seen[:3] == [0.5, 0.25, 0.125]


class Signs(torch.optim.Optimizer):
    """Moves each weight by one length, which is no group's setting."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"length": 1e-9})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.sub_(1e-9 * parameter.grad.sign())


def test_an_optimizer_without_a_rate_is_told_so() -> None:
    assert why(answer(Run(optimizer=Signs), "not_updating", "rate_10")) == "untried.learning_rate"


@dataclass(frozen=True)
class Pair:
    x: Tensor
    y: Tensor


class Encoding(UserDict[str, Tensor]):
    """As tokenizers give."""


def as_pair(x: Tensor, y: Tensor) -> Any:
    return Pair(x, y)


def as_encoding(x: Tensor, y: Tensor) -> Any:
    return Encoding(x=x, y=y)


class Opaque:
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y


def by_name(model: Any, batch: Any) -> Tensor:
    x, y = (batch["x"], batch["y"]) if isinstance(batch, Encoding) else (batch.x, batch.y)
    return F.cross_entropy(model(x), y)


def packed(kind: Any) -> Run:
    run, _ = FAILING["normalization_misuse"]
    return replace(run, batches=lambda: [kind(*pair) for pair in run.batches()], loss=by_name, validated=False)


@pytest.mark.parametrize("kind", [as_pair, as_encoding])
def test_batches_are_merged_whatever_they_come_in(kind: Any) -> None:
    plain = answer(
        replace(FAILING["normalization_misuse"][0], validated=False), "normalization_misuse", "merged_batches"
    )
    assert answer(packed(kind), "normalization_misuse", "merged_batches").loss == plain.loss


def test_what_no_tensor_is_found_in_is_not_merged_and_not_said_to_be() -> None:
    assert why(answer(packed(Opaque), "normalization_misuse", "merged_batches")) == "untried.reach"


def with_slope(model: Any, batch: Any) -> Tensor:
    """A penalty on the derivative by the input, as in physics-informed networks."""
    x = batch[0].clone().requires_grad_()
    output = model(x)
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    return F.cross_entropy(output, batch[1]) + 1e-3 * slope.square().mean()


def small(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1e-7)


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_differentiates_inside_is_scored_too(validated: bool) -> None:
    experiment = Run(optimizer=small, loss=with_slope).experiment()
    if not validated:
        experiment = replace(experiment, validation=None, metric=None)
    report = hw.check(experiment, steps=12, seed=0, intervene=SHORT)
    answers = finding_of(report, "not_updating").interventions
    assert tried(finding_of(report, "not_updating"), "rate_100").repeats == 2, answers


def test_validation_without_a_batch_is_as_none() -> None:
    experiment = replace(Run(optimizer=small).experiment(), validation=list, metric=None)
    report = hw.check(experiment, seed=0, intervene=SHORT)
    found = tried(finding_of(report, "not_updating"), "rate_100")
    assert found.loss is not None
    assert found.loss.statistic == "training_loss"


@pytest.mark.parametrize("kind", [partial(nn.LSTM, proj_size=3), nn.LSTM, nn.GRU, nn.RNN])
def test_each_gate_is_orthogonal_whatever_is_fed_back(kind: Any) -> None:
    layer = kind(4, 8, num_layers=2, bidirectional=True)
    branch = replace(branch_of(TRAINED), model=layer)
    change("recurrent_orthogonal").make(branch)
    for name, weight in layer.named_parameters():
        if name.startswith("weight_hh"):
            for gate in weight.detach().split(8):
                torch.testing.assert_close(gate.T @ gate, torch.eye(gate.shape[1]), atol=1e-5, rtol=0.0)


def test_names_are_those_inside_a_wrapper() -> None:
    """``DataParallel`` hides its module's names."""
    run = PLANTED["small weights"][0]
    report = replace(run, model=lambda: nn.DataParallel(run.model())).check(0, intervene=SHORT)
    found = finding_of(report, "vanishing")
    assert found.causes[0].id == "weights_too_small"
    assert tried(found, "weights_larger").outcome == "restores"
    assert "restores" not in (tried(found, "straight_activation").outcome)
    assert tried(found, "straight_activation").repeats == 2


def test_repeats_that_round_alike_are_no_answer() -> None:
    """A loss in float32 near 2 has steps of 2.4e-7."""
    pairs = [loss_pair(2.3, 2.3 + 2.4e-7)] * 2
    found = judged(FINDING, CHANGES[0], pairs, None, held_out=True)
    assert found.loss is not None
    assert not found.loss.surely_worse
    assert found.outcome == "nothing"
    assert judged(FINDING, CHANGES[0], [loss_pair(2.3, 2.4)] * 2, None, held_out=True).outcome == "harms"


def test_what_makes_the_failed_number_worse_is_no_help_however_the_loss_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "failed_number", lambda _: FailedNumber("decades", lambda flow: flow.loss, 1))
    symptoms = frozenset(["vanishing"])
    before, after = (hw.Flow((), (), None, decades) for decades in (-9.0, -10.0))
    pair = verdict.Pair(before, after, symptoms, symptoms, 2.0, 1.0)
    found = judged(replace(FINDING, symptom="vanishing"), CHANGES[0], [pair] * 2, None, held_out=True)
    assert found.outcome == "harms"


@pytest.mark.parametrize("before", [(math.inf, -math.inf), (1.7e308, 1.7e308)])
def test_losses_that_have_no_mean_are_no_crash(before: tuple[float, float]) -> None:
    found = judged(FINDING, CHANGES[0], [loss_pair(loss, -1e308) for loss in before], None, held_out=True)
    assert found.loss is not None
    assert not found.loss.surely_worse


def test_where_nothing_is_left_to_try_nothing_more_is_trained() -> None:
    calls: list[int] = []
    experiment = Run(optimizer=small).experiment()
    report = hw.check(
        experiment,
        seed=0,
        intervene=hw.Budget(steps=12, repeats=9, seconds=1e-9),
        progress=lambda name, done, total: calls.append(done),
    )
    answers = finding_of(report, "not_updating").interventions
    assert {why(found) for found in answers} == {"untried.time"}
    assert calls[-1] == 12 * (1 + len(answers))


def loss_pair(before: float, after: float) -> verdict.Pair:
    empty = hw.Flow((), (), None, 0.0)
    return verdict.Pair(empty, empty, frozenset(["lr_too_low"]), frozenset(["lr_too_low"]), before, after)


class Data(Detached):
    """As people cut a graph who learnt it long ago."""

    def forward(self, x: Tensor) -> Any:
        return self.head(self.encoder(x).data)


class WithoutGradients(Detached):
    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            encoded = self.encoder(x)
        return self.head(encoded)


def test_data_is_attached_as_detach_is() -> None:
    found = finding_of(Run(Data).check(0, intervene=hw.Budget(steps=30, repeats=2)), "not_updating")
    assert tried(found, "attached").outcome == "restores"
    assert found.causes[0].id == "detached_graph"


def frozen_below_two_layers() -> nn.Module:
    return network().requires_grad_(False).extend([nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10)])


@pytest.mark.parametrize("model", [WithoutGradients, frozen_below_two_layers])
def test_what_is_not_detached_is_not_said_to_have_been_attached(model: Any) -> None:
    assert why(answer(Run(model), "not_updating", "attached")) == "untried.detach"


def test_a_decay_that_holds_the_weights_down_is_told_from_a_high_rate() -> None:
    """SGD decays by rate times decay: a tenth of the rate decays a tenth as much."""
    run = Run(optimizer=partial(torch.optim.SGD, lr=0.1, weight_decay=3.0), steps=30)
    finding = run.check(0, intervene=hw.Budget(steps=30)).findings[0]
    assert finding.causes[0].id == "weight_decay_high"
    assert finding.interventions[0].change == "no_decay"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_numbers_that_look_the_same_are_told_apart(language: str) -> None:
    report = Run(optimizer=partial(torch.optim.SGD, lr=1e-5)).check(0, intervene=SHORT)
    assert report.findings[0].interventions[0].outcome != "nothing"
    words = Words.of(language)
    face = terminal.plain(report, words)
    assert re.search(re.escape(words.statistic("validation_loss")) + r" -\d\.\de-\d", face)
    assert not re.search(r" (\S+) → \1( |$)", face, re.MULTILINE)


class OfDictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, batch: dict[str, Tensor]) -> Any:
        return self.body(batch["x"])


def whole(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch), batch["y"])


def test_inputs_inside_a_dictionary_are_standardised() -> None:
    run = FAILING["unscaled_input"][0]
    inside = replace(run, model=OfDictionary, batches=lambda: [{"x": x, "y": y} for x, y in run.batches()], loss=whole)
    first, second = (answer(each, "unscaled_input", "standardised") for each in (inside, run))
    assert first.loss == second.loss


def test_a_loss_that_calls_only_parts_of_the_model_hands_it_nothing_to_standardise() -> None:
    def of_parts(model: Any, batch: Any) -> Tensor:
        return F.cross_entropy(model.body(batch[0]), batch[1])

    run = replace(FAILING["unscaled_input"][0], model=OfDictionary, loss=of_parts)
    assert why(answer(run, "unscaled_input", "standardised")) == "untried.numbers_in"
