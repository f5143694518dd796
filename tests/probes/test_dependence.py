"""What exchanged inputs do to a loss, held against what that must be."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headwater.probes.dependence import dependence
from headwater.probes.seen_through import SeenThrough
from headwater.records import Dependence


def squares(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def pairs(count: int = 4, size: int = 256) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    return [(x, 2.0 * x) for x in torch.randn(count, size, 3)]


def asked(model: nn.Module, batches: Any, loss: Any = squares) -> Dependence | None:
    with torch.no_grad():
        return dependence(model.eval(), batches, loss)


def doubling() -> nn.Module:
    model = nn.Linear(3, 3, bias=False)
    nn.init.eye_(model.weight)
    model.weight.data.mul_(2.0)
    return model


def test_who_knows_the_answer_loses_twice_its_variance() -> None:
    """E(2x - 2x')² = 4 · 2 var(x) for independent x and x'."""
    found = asked(doubling(), pairs())
    assert found is not None
    assert found.loss == 0.0
    assert found.exchanged == pytest.approx(8.0, rel=0.1)
    assert 0 < found.spread < 0.05 * found.exchanged


def test_who_knows_nothing_loses_nothing() -> None:
    torch.manual_seed(1)
    found = asked(nn.Linear(3, 3), [(x, torch.randn_like(y)) for x, y in pairs(size=2048)])
    assert found is not None
    assert abs(found.exchanged - found.loss) < 3 * found.spread + 0.02 * found.loss


def test_classes_given_by_number_are_targets() -> None:
    batches = [(x, x[:, 0].gt(0).long()) for x, _ in pairs()]
    found = asked(nn.Linear(3, 2), batches, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
    assert found is not None


def autoencoding(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[0])


def shifted(model: Any, batch: Any) -> Tensor:
    """The targets are another view of what the model is given."""
    return F.mse_loss(model(batch[0][:, :3]), batch[0][:, 1:])


def of_itself(model: Any, batch: Any) -> Tensor:
    if not isinstance(model, nn.Module):
        raise TypeError("a Module, please")
    return squares(model, batch)


@pytest.mark.parametrize(
    ("loss", "batches"),
    [
        (autoencoding, [(torch.randn(32, 3),)]),
        (shifted, [(torch.randn(32, 4),)]),
        (of_itself, pairs()),
        (squares, pairs(size=4)),
        (lambda model, batch: model.weight.sum() * batch[1].sum(), pairs()),
        (lambda model, batch: squares(model, batch) * float("inf"), pairs()),
        (squares, []),
    ],
    ids=["its own target", "a shifted view", "no stand-in", "few samples", "never called", "not finite", "no batch"],
)
def test_nothing_is_said_where_nothing_can_be(loss: Any, batches: Any) -> None:
    assert asked(nn.Linear(3, 3), batches, loss) is None


def test_targets_all_alike_in_each_batch_say_nothing() -> None:
    """With another sample's input the answer is as good: data in order of their classes raise no doubt."""
    batches = [(x, torch.full((len(x),), number)) for number, (x, _) in enumerate(pairs())]
    assert asked(nn.Linear(3, 4), batches, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])) is None


class Noisy(nn.Module):
    """Is given both parts of its input in one dictionary, and answers with a little noise in use too."""

    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        return parts["a"] + parts["b"] + 0.01 * torch.randn_like(parts["a"])


def test_inputs_inside_a_dictionary_are_exchanged() -> None:
    torch.manual_seed(2)
    found = asked(Noisy(), pairs(), lambda model, batch: F.mse_loss(model({"a": batch[0], "b": batch[0]}), batch[1]))
    assert found is not None
    assert found.exchanged == pytest.approx(8.0, rel=0.1)


def test_all_inputs_of_a_call_move_together() -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, *, b: Tensor) -> Tensor:
            return a - b

    calls: list[list[Any]] = []

    def reverse(values: list[Any]) -> list[Any]:
        calls.append(values)
        return [value.flip(0) for value in values]

    x = torch.arange(8.0)
    through = SeenThrough(Sum(), reverse)
    assert torch.equal(through(x, b=x), torch.zeros(8))
    assert len(calls[0]) == 2
    assert through.training


def test_the_same_answer_twice_and_the_program_draws_what_it_would_have() -> None:
    batches = pairs()
    model = doubling()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert asked(model, batches) == asked(model, batches)
    assert torch.equal(torch.rand(1), expected)
