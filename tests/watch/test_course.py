"""The course of a watched training: what each step showed of all parameters together, and how well the model did."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.probes.trajectory import Trajectory
from headwater.records import InputError, Score, TrainingStep
from headwater.rehearsing import rehearse
from headwater.remedies.trial import endless
from tests.cases import cross_entropy, plain_mlp, vectors


def flat(tensors: list[Tensor | None]) -> Tensor:
    return torch.cat([t.detach().double().flatten() for t in tensors if t is not None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosines_and_update_ratios_are_those_of_all_weights_in_one_row(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(depth=3).to(dtype), vectors(dtype=dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    gradients, ratios, losses = [], [], []
    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(6):
            optimizer.zero_grad()
            loss = cross_entropy(model, batch)
            loss.backward()
            watch.log(loss=loss)
            before = flat(list(model.parameters()))
            gradients.append(flat([p.grad for p in model.parameters()]))
            optimizer.step()
            ratios.append(float((flat(list(model.parameters())) - before).norm() / before.norm()))
            losses.append(float(loss))
    training = watch.training()
    assert training is not None
    cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairwise(gradients)]
    assert training.cosines() == pytest.approx(cosines, abs=1e-6)
    assert training.update_ratios() == pytest.approx(ratios, rel=1e-5)
    assert training.losses() == pytest.approx(losses, rel=1e-6)
    levels = [math.log10(float(g.square().mean().sqrt())) for g in gradients]
    assert [step.log10_gradient for step in training.steps] == pytest.approx(levels, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_part_of_a_large_parameter_stands_for_all_of_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 400), nn.Tanh(), nn.Linear(400, 3)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.randn(64, 300, dtype=dtype), torch.randint(3, (64,))
    with hw.watch(model, optimizer, every=1) as watch:
        before = flat(list(model.parameters()))
        cross_entropy(model, batch).backward()
        optimizer.step()
    ratio = float((flat(list(model.parameters())) - before).norm() / before.norm())
    training = watch.training()
    assert training is not None
    assert training.update_ratios() == pytest.approx([ratio], rel=0.1)


def test_long_course_is_thinned_out_and_keeps_its_ends() -> None:
    trajectory = Trajectory()
    for step in range(5000):
        trajectory.add(TrainingStep(step, loss=math.nan if step % 2 else 1.0, gradient_cosine=None))
    training = trajectory.record("accuracy")
    assert training is not None
    assert 200 < len(training.steps) <= 512
    numbers = [step.step for step in training.steps]
    assert numbers[0] == 0
    assert numbers[-1] > 4900
    assert numbers == sorted(set(numbers))
    assert all(step.gradient_cosine is None and step.loss is not None for step in training.steps)
    assert any(math.isnan(loss) for loss in training.losses())
    assert Trajectory().record() is None


def test_scores_that_are_logged_are_kept_with_their_step() -> None:
    model, batch = plain_mlp(), vectors()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, every=1) as watch:
        cross_entropy(model, batch).backward()
        optimizer.step()
        watch.log(loss=1.0, val_loss=torch.tensor(2.0), metric=0.5, val_metric=0.25)
    training = watch.training()
    assert training is not None
    assert training.scores == (Score(1, 1.0, 2.0, 0.5, 0.25),)
    with pytest.raises(InputError, match=r"log\(val_loss=...\) takes one number, got a tensor of shape \[2\]"):
        watch.log(val_loss=torch.zeros(2))
    with pytest.raises(InputError, match=r"log\(metric=...\) takes a number or a tensor with one element, got str"):
        watch.log(metric="high")


def test_rehearsal_leaves_random_states_and_modes_as_a_bare_loop_would() -> None:
    """Scoring draws random numbers and switches to eval mode; the training must not notice."""

    def experiment(validated: bool) -> hw.Experiment:
        return hw.Experiment(
            model=lambda: nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)),
            batches=lambda: [vectors()],
            loss=cross_entropy,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
            validation=(lambda: [(torch.randn(16, 8), torch.randint(3, (16,)))]) if validated else None,
        )

    weights = []
    for validated in (False, True):
        torch.manual_seed(0)
        made = experiment(validated)
        model = made.model()
        optimizer = made.optimizer(model.parameters())
        training, broke = rehearse(made, model, optimizer, endless(made, 0), 12)
        assert broke is None
        assert training is not None
        assert len(training.scores) == (5 if validated else 0)
        assert model.training
        weights.append(flat(list(model.parameters())))
    assert torch.equal(*weights)


def test_first_step_with_nan_is_kept() -> None:
    model, batch = plain_mlp(), vectors()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, every=1) as watch:
        for step in range(4):
            optimizer.zero_grad()
            (cross_entropy(model, batch) * (math.nan if step == 2 else 1.0)).backward()
            optimizer.step()
    assert watch.broke is not None
    assert watch.broke.step == 2
    assert watch.report().findings[0].symptom == "nonfinite"
