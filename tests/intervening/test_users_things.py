"""What an intervention is given stays as it was, whatever the user's code does; and it keeps to what it may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import headwater as hw
from headwater.demo import accuracy, cross_entropy, digits
from headwater.intervening import branch as branches_of_a_round
from headwater.intervening.branch import drawn, spread
from headwater.records import Finding
from tests.diagnosis.test_symptoms import Run, batches, network
from tests.intervening.test_hostile import branch_of, change
from tests.intervening.test_interventions import finding_of, tried

SHORT = hw.Budget(steps=12, repeats=2)
SLOW = Run(optimizer=partial(torch.optim.SGD, lr=1e-7), steps=12, validated=False)


def findings_of(experiment: hw.Experiment, steps: int = 12, budget: hw.Budget = SHORT) -> tuple[Finding, ...]:
    return hw.check(experiment, steps=steps, seed=0, intervene=budget).findings


def popping(model: Any, batch: Any) -> Tensor:
    y = batch.pop("y")
    return F.cross_entropy(model(batch["x"]), y)


def scaling(model: Any, batch: Any) -> Tensor:
    x, y = batch
    return F.cross_entropy(model(x.mul_(0.5)), y)


def as_dictionaries() -> list[dict[str, Tensor]]:
    return [{"x": x, "y": y} for x, y in batches()]


def halved(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0] * 0.5), batch[1])


@pytest.mark.parametrize(
    ("spoiling", "data", "plain"), [(popping, as_dictionaries, cross_entropy), (scaling, batches, halved)]
)
def test_a_loss_may_do_with_a_batch_what_it_likes(spoiling: Any, data: Any, plain: Any) -> None:
    kept = data()
    before = data()
    spoilt = replace(SLOW.experiment(), batches=lambda: kept, validation=lambda: kept[:2], loss=spoiling)
    untouched = replace(SLOW.experiment(), validation=lambda: batches()[:2], loss=plain)
    assert findings_of(spoilt) == findings_of(untouched)
    flat = [[*b.values()] if isinstance(b, dict) else b for b in kept]
    wanted = [[*b.values()] if isinstance(b, dict) else b for b in before]
    assert all(
        torch.equal(a, b) for one, other in zip(flat, wanted, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_a_metric_may_too() -> None:
    def metric(model: Any, held_out: Any) -> float:
        return float(sum((model(b.pop("x")).argmax(1) == b.pop("y")).float().mean() for b in held_out))

    kept = as_dictionaries()[:2]
    by_name = lambda model, batch: F.cross_entropy(model(batch["x"]), batch["y"])  # noqa: E731
    experiment = replace(
        SLOW.experiment(), batches=as_dictionaries, loss=by_name, validation=lambda: kept, metric=metric
    )
    assert findings_of(experiment)[0].interventions
    assert all(set(batch) == {"x", "y"} for batch in kept)


def test_a_batch_handed_to_check_is_as_it_was() -> None:
    model, (x, y) = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(64, 10)), batches()[0]
    before = x.clone()
    hw.check(model, (x, y), cross_entropy)
    assert torch.equal(x, before)


class OwnWeights:
    """A loss with a layer of its own, which the optimizer moves as well."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.layer = nn.Linear(10, 10)

    def __call__(self, model: Any, batch: Any) -> Tensor:
        return F.cross_entropy(self.layer(model(batch[0])), batch[1])

    def optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([*parameters, *self.layer.parameters()], lr=0.01)


@pytest.mark.parametrize("steps", [0, 12])
@pytest.mark.parametrize("held", [True, False])
def test_weights_of_the_loss_are_put_back_and_each_branch_starts_from_them(steps: int, held: bool) -> None:
    loss = OwnWeights()
    before = [p.detach().clone() for p in loss.layer.parameters()]
    experiment = hw.Experiment(
        model=lambda: network(nn.Sigmoid, depth=8),
        batches=batches,
        loss=loss,
        optimizer=loss.optimizer if held else partial(torch.optim.Adam, lr=0.01),
    )
    first, second = (findings_of(experiment, steps) for _ in range(2))
    assert first == second
    assert first[0].interventions
    assert all(torch.equal(p, b) for p, b in zip(loss.layer.parameters(), before, strict=True))
    assert all(p.grad is None for p in loss.layer.parameters())


def test_leaves_among_the_batches_keep_their_grad() -> None:
    kept = [(x.clone().requires_grad_(), y) for x, y in batches()]
    assert findings_of(replace(SLOW.experiment(), batches=lambda: kept))[0].interventions
    assert all(x.grad is None for x, _ in kept)


def test_batches_with_a_graph_behind_them_serve_every_branch() -> None:
    encoder = nn.Linear(64, 64)
    experiment = replace(SLOW.experiment(), batches=lambda: [(encoder(x), y) for x, y in batches()])
    found = tried(findings_of(experiment)[0], "rate_100")
    assert found.repeats == 2
    assert encoder.weight.grad is None


@pytest.mark.parametrize("steps", [0, 12])
def test_an_optimizer_that_is_in_use_is_refused_and_left_alone(steps: int) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7, momentum=0.9)
    cross_entropy(model, batches()[0]).backward()
    optimizer.step()
    state = {p: s["momentum_buffer"].clone() for p, s in optimizer.state.items()}
    experiment = replace(SLOW.experiment(), model=lambda: model, optimizer=lambda parameters: optimizer)
    with pytest.raises(hw.InputError, match=r"made before.*optimizer=lambda parameters: SGD"):
        findings_of(experiment, steps)
    assert all(torch.equal(s["momentum_buffer"], state[p]) for p, s in optimizer.state.items())


def test_an_optimizer_over_the_original_of_the_copy_that_is_trained_is_refused() -> None:
    model = network()
    experiment = replace(
        SLOW.experiment(), model=lambda: model, optimizer=lambda _: torch.optim.SGD(model.parameters())
    )
    with pytest.raises(hw.InputError, match="makes its optimizer over the original"):
        findings_of(experiment)


def shuffled_by(generator: torch.Generator) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*digits()[0]), 64, shuffle=True, generator=generator)


def test_a_loader_with_a_generator_of_its_own_is_seeded_too_and_put_back() -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    experiment = replace(SLOW.experiment(), batches=lambda: shuffled_by(generator))
    first, second = (hw.check(experiment, steps=12, seed=5, intervene=SHORT) for _ in range(2))
    assert first.findings == second.findings
    assert torch.equal(generator.get_state(), before)
    assert hw.check(experiment, steps=12, seed=6).flow.loss != first.flow.loss


def test_complex_weights_keep_both_parts_in_a_finer_dtype() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 10, dtype=torch.cfloat))

        def forward(self, x: Tensor) -> Any:
            return (x.to(self.weight.dtype) @ self.weight).abs()

    branch = branch_of(Run(Complex))
    before = branch.model.weight.detach().clone()
    change("precise_underflow").make(branch)
    assert branch.model.weight.dtype == torch.complex128
    assert torch.equal(branch.model.weight.detach().to(torch.cfloat), before)


# What it may take


def test_what_the_unchanged_training_raises_is_told_and_the_report_stays() -> None:
    """The check itself takes one batch, and does not get so far."""

    def failing_later() -> Iterator[Any]:
        for index, batch in enumerate(batches()):
            yield batch if index < 15 else (batch[0][:, :3], batch[1])

    experiment = replace(SLOW.experiment(), batches=failing_later)
    finding = findings_of(experiment, 0)[0]
    said = {answer.why.id for answer in finding.interventions if answer.why is not None}
    assert said == {"untried.unchanged"}
    assert "RuntimeError" in str(finding.interventions[0].why)


def test_a_generator_that_is_spent_costs_the_answer_and_not_the_report() -> None:
    once = iter(batches()[:14])
    finding = findings_of(replace(SLOW.experiment(), batches=lambda: once))[0]
    assert {answer.why.id for answer in finding.interventions if answer.why} == {"untried.unchanged"}


def test_a_training_that_is_slower_than_its_time_is_broken_off() -> None:
    calls = 0

    def slow(model: Any, batch: Any) -> Tensor:
        nonlocal calls
        calls += 1
        time.sleep(0.1)
        return cross_entropy(model, batch)

    experiment = replace(SLOW.experiment(), loss=slow)
    plain = hw.check(experiment, seed=0)
    before, calls = calls, 0
    finding = hw.check(experiment, seed=0, intervene=hw.Budget(steps=100, repeats=3, seconds=1.0)).findings[0]
    assert plain.findings[0].symptom == finding.symptom
    assert {answer.why.id for answer in finding.interventions if answer.why} == {"untried.time"}
    assert calls - before < 10  # half a second, a tenth each, and what is measured before


def test_what_fits_into_the_time_is_tried_twice() -> None:
    budget = hw.Budget(steps=12, repeats=2, seconds=1e6)
    finding = findings_of(SLOW.experiment(), 12, budget)[0]
    assert tried(finding, "rate_100").repeats == 2


def test_progress_is_told_at_every_step() -> None:
    done: list[int] = []
    hw.check(SLOW.experiment(), seed=0, intervene=SHORT, progress=lambda name, now, total: done.append(now))
    assert done[:12] == list(range(1, 13))
    assert max(b - a for a, b in pairwise(done)) <= 12
    assert done == sorted(done)


def test_what_is_known_at_an_interrupt_is_not_lost() -> None:
    steps = 0

    def impatient(model: Any, batch: Any) -> Tensor:
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps > 140:
            raise KeyboardInterrupt
        return cross_entropy(model, batch)

    experiment = replace(SLOW.experiment(), loss=impatient)
    random_state = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt) as caught:
        hw.check(experiment, seed=0, intervene=hw.Budget(steps=30, repeats=2))
    found = caught.value.found
    assert isinstance(found, hw.Report)
    answers = finding_of(found, "not_updating").interventions
    assert answers
    assert all(answer.outcome == "not_tried" for answer in answers)
    assert "untried.interrupted" in {answer.why.id for answer in answers if answer.why}
    assert torch.equal(torch.random.get_rng_state(), random_state)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 15, 16, 100, 257])
def test_held_out_batches_are_taken_from_all_of_the_validation_set(count: int) -> None:
    taken = spread(range(count), 8)
    assert taken[:1] == list(range(count))[:1]
    assert len(taken) == count if count < 16 else 8 <= len(taken) < 16
    distances = {b - a for a, b in pairwise(taken)}
    assert len(distances) <= 1
    assert not taken or count - taken[-1] <= max(distances, default=1)


def test_a_large_validation_set_is_not_gone_through_for_every_branch() -> None:
    asked = 0

    def noted(model: Any, held_out: Any) -> float:
        nonlocal asked
        asked += len(held_out)
        return accuracy(model, held_out)

    large = [digits()[1]] * 200
    experiment = replace(SLOW.experiment(), validation=lambda: large, metric=noted)
    hw.check(experiment, seed=0, intervene=SHORT)
    assert 0 < asked < 1500  # six branches, five scores: on 15 held out at most, and eight of the training


def test_batches_that_would_fill_the_memory_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches_of_a_round, "MOST_BYTES", 1000)
    stream = iter([torch.full((100,), float(index)) for index in range(50)])  # of 400 bytes each
    taken = drawn(stream, 8)
    assert [int(batch[0]) for batch in taken] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert int(next(stream)[0]) == 3
