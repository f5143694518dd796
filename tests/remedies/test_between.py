"""ReLU between layers that have nothing in between: where it goes, where not, and that the network learns then."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.activation_relu_between import ID
from headwater.remedies.remedy import NotApplicableError


def names_of(model: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, kind)]


def linear(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))


def test_each_layer_but_the_last_is_followed_by_one() -> None:
    model = linear(4, 8, 8, 3)
    repaired = hw.apply(model, ID)
    assert names_of(repaired, nn.ReLU) == ["0.1", "1.1"]
    assert not names_of(model, nn.ReLU)
    x = torch.randn(5, 4)
    first, second, last = model
    torch.testing.assert_close(repaired(x), last(second(first(x).relu()).relu()), rtol=0, atol=0)


def test_he_weights_after_it_have_the_gain_of_the_new_rectifier() -> None:
    torch.manual_seed(0)
    repaired = hw.apply(linear(400, 400, 400, 3), [ID, "init.he"])
    assert float(repaired[0][0].weight.detach().std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)


def test_measured_order_gives_he_the_new_rectifier_too() -> None:
    """A measured step has said that nothing follows; that no longer holds."""
    model = linear(400, 400, 3)
    batch = (torch.randn(8, 400), torch.randint(3, (8,)))
    report = hw.check(model, batch, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]))
    repaired = hw.apply(model, [ID, "init.he"], report=report)
    assert float(repaired[0][0].weight.detach().std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)


def test_another_activation_can_take_its_place() -> None:
    repaired = hw.apply(linear(4, 8, 8, 3), [ID, "activation.tanh", "init.xavier"])
    assert names_of(repaired, nn.Tanh) == ["0.1", "1.1"]
    assert not names_of(repaired, nn.ReLU)


def test_it_stands_behind_the_normalisation() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 3))
    assert names_of(hw.apply(model, ID), nn.ReLU) == ["1.1"]


def test_gaps_are_closed_and_activations_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 3))
    repaired = hw.apply(model, ID)
    assert names_of(repaired, nn.ReLU) == ["2.1"]
    assert names_of(repaired, nn.Tanh) == ["1"]


def test_convolutions_are_layers_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    assert names_of(hw.apply(model, ID), nn.ReLU) == ["0.1", "1.1"]


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_forward_of_ones_own_calls_both() -> None:
    model = Own()
    repaired = hw.apply(model, ID)
    x = torch.randn(5, 4)
    torch.testing.assert_close(repaired(x), model.second(model.first(x).relu()), rtol=0, atol=0)


class Residual(Own):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) + torch.cat([x, x], 1))


class Branch(nn.Module):
    """A residual block without an activation in its branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.second(self.first(x)))


def test_branch_gets_its_activation_and_the_sum_none() -> None:
    assert names_of(hw.apply(Branch(), ID), nn.ReLU) == ["first.1"]


class Twice(nn.Module):
    """One layer that runs inside, and at the output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), "no two affine layers.*activation.relu"),
        (lambda: linear(8, 2, 8), "no two affine layers"),  # a factorised matrix is one on purpose
        (Residual, "no two affine layers"),  # what is added up goes on as it is
        (Twice, "'layer' runs 2 times"),
    ],
)
def test_where_it_does_not_belong_it_says_why(model, reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        hw.apply(model(), ID)


def test_linear_network_is_prescribed_it_and_then_tells_a_circle_from_its_outside() -> None:
    """No straight line does; fix finds and proves it."""

    def data(seed: int) -> list[tuple[Tensor, Tensor]]:
        x = torch.randn(256, 2, generator=torch.Generator().manual_seed(seed))
        return [(x, (x.square().sum(1) > 1.4).long())]

    def accuracy(model: nn.Module, batches) -> float:
        return float(torch.cat([(model(x).argmax(1) == y).float() for x, y in batches]).mean())

    experiment = hw.Experiment(
        model=lambda: linear(2, 32, 32, 2),
        batches=lambda: data(0),
        loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        validation=lambda: data(1),
        metric=accuracy,
    )
    cure = hw.fix(experiment, seeds=3, steps=60, rates=(1.0,))
    assert cure.findings[0].symptom == "linear_collapse"
    assert cure.verdict == "proven"
    assert ID in cure.remedies
    assert cure.metric_before < 0.7 < 0.9 < cure.metric_after
    assert names_of(cure.model(), nn.ReLU) == ["0.1", "1.1"]
