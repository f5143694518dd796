"""What inputs say of targets before any training, held against what they must."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headwater.probes.pairing import MOST_SAMPLES, pairings
from headwater.records import Pairing

Batches = list[tuple[Tensor, Tensor]]


def squares(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def classes(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def in_batches(x: Tensor, y: Tensor, size: int = 64) -> Batches:
    return list(zip(x.split(size), y.split(size), strict=True))


def asked(model: nn.Module, seen: Batches, held_out: Batches = (), loss: Any = squares) -> tuple[Any, Any]:
    with torch.no_grad():
        return pairings(model.eval(), seen, list(held_out), loss)


def linear(count: int = 256) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(count, 4)
    return x, x @ torch.randn(4, 2)


def test_a_rule_is_seen_and_the_same_targets_in_another_order_are_not() -> None:
    x, y = linear()
    true, _ = asked(nn.Linear(4, 2), in_batches(x, y))
    mixed, _ = asked(nn.Linear(4, 2), in_batches(x, y[torch.randperm(len(y))]))
    assert true.samples == 256
    assert true.explained > 0.9
    assert true.deviations > 20
    assert abs(mixed.deviations) < 3
    assert mixed.explained < 0.1


@pytest.mark.parametrize("seed", range(20))
def test_chance_pairs_stay_within_the_spread(seed: int) -> None:
    torch.manual_seed(seed)
    found, _ = asked(nn.Linear(4, 3), in_batches(torch.randn(256, 4), torch.randint(3, (256,))), loss=classes)
    assert found.deviations < 3.5


def test_error_is_that_of_fitting_without_each_sample() -> None:
    """The closed form against taking each sample out and fitting the rest."""
    x, y = linear(40)
    found, _ = asked(nn.Linear(4, 2), in_batches(x, y, 40))
    z = x.double()
    z = (z - z.mean(0)) / z.std(0)
    t = y.double() - y.double().mean(0)
    distances = torch.cdist(z, z)
    width = distances[~torch.eye(40, dtype=torch.bool)].median()
    kernel = torch.exp(-((distances / width) ** 2))
    errors = []
    for i in range(40):
        rest = [j for j in range(40) if j != i]
        solved = torch.linalg.solve(kernel[rest][:, rest] + 0.1 * torch.eye(39, dtype=torch.float64), t[rest])
        errors.append((t[i] - kernel[i, rest] @ solved).square().sum())
    assert found.explained == pytest.approx(float(1 - sum(errors) / t.square().sum()))


def test_a_sample_that_comes_back_does_not_tell_itself() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(64, 4), torch.randn(64, 2)
    found, _ = asked(nn.Linear(4, 2), in_batches(x, y) * 8)
    assert found.samples == 64
    assert found.deviations < 3


def test_tokens_are_read_by_what_and_where_they_are() -> None:
    torch.manual_seed(0)
    words = torch.randint(50, (256, 6))
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(48, 2))
    by_word, _ = asked(model, in_batches(words, (words < 25).sum(1).gt(3).long()), loss=classes)
    by_place, _ = asked(model, in_batches(words % 4, words[:, 2] % 4 // 2), loss=classes)
    assert by_word.deviations > 5
    assert by_place.deviations > 5


def test_both_kinds_of_data_are_asked_about_as_many_samples() -> None:
    x, y = linear(400)
    seen, held_out = asked(nn.Linear(4, 2), in_batches(x[:300], y[:300]), in_batches(x[300:], y[300:]))
    assert seen.samples == held_out.samples == 100
    alone, nothing = asked(nn.Linear(4, 2), in_batches(x, y))
    assert (alone.samples, nothing) == (MOST_SAMPLES, None)


def test_inputs_all_alike_say_nothing() -> None:
    _, y = linear()
    found, _ = asked(nn.Linear(4, 2), in_batches(torch.zeros(256, 4), y))
    assert found == Pairing(256, 0.0, 0.0)
    assert found.all_alike


@pytest.mark.parametrize(
    ("seen", "loss"),
    [
        ([], squares),
        (in_batches(*linear(16), 16), squares),
        (in_batches(torch.randn(64, 4), torch.ones(64, 2)), squares),
        (in_batches(torch.full((64, 4), float("nan")), torch.randn(64, 2)), squares),
        ([(torch.randn(64, 4),)], lambda model, batch: model(batch[0]).square().mean()),
    ],
    ids=["no batch", "few samples", "targets all alike", "nan", "no targets"],
)
def test_nothing_is_said_where_nothing_can_be(seen: Any, loss: Any) -> None:
    found, _ = asked(nn.Linear(4, 2), seen, loss=loss)
    assert found is None
