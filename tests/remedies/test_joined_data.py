"""Data that are joined with what weights have made of other data are standardised, and nothing beside them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.joined_data import joined_data
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.standardised import Standardised


class Table(nn.Module):
    """Two numbers beside an embedded code, of which dropout takes some."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.first, self.head = nn.Embedding(4, 3), nn.Linear(5, 8), nn.Linear(8, 3)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        known = torch.cat([self.drop(self.code(x[:, 0].long())), x[:, 1:]], 1)
        return self.head(torch.relu(self.first(known)))


def batches(scale: float = 300.0, shift: float = 1000.0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    numbers = scale * torch.randn(256, 2, generator=generator) + shift
    codes = torch.randint(4, (256, 1), generator=generator)
    x = torch.cat([codes, numbers], 1)
    return [(x[i : i + 64], codes[i : i + 64, 0] % 3) for i in range(0, 256, 64)]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def standardised(model: nn.Module, given: list[tuple[Tensor, Tensor]]) -> nn.Module:
    report = hw.check(model, given[0], loss)
    return hw.apply(model, "data.standardise", report=report, batches=given, loss=loss)


def test_numbers_beside_an_embedding_are_standardised_and_the_embedding_is_not() -> None:
    model, given = Table(), batches()
    before = copy.deepcopy(model.state_dict())
    changed = standardised(model, given)
    assert isinstance(changed.first, Standardised)
    x = torch.cat([batch[0] for batch in given])[:, 1:]
    torch.testing.assert_close(changed.first.mean[3:], x.mean(0), rtol=1e-2, atol=0)
    torch.testing.assert_close(changed.first.std[3:], x.std(0), rtol=1e-2, atol=0)
    assert changed.first.mean[:3].tolist() == [0.0] * 3
    assert changed.first.std[:3].tolist() == [1.0] * 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_of_the_copy_are_put_back() -> None:
    model = Table()
    before = copy.deepcopy(model.state_dict())
    assert list(joined_data(model, Data(tuple(batches()), loss), 0)) == ["first"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.first._forward_pre_hooks


def test_numbers_that_are_standard_already_and_a_second_time_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="not standardised already"):
        standardised(Table(), batches(1.0, 0.0))
    with pytest.raises(NotApplicableError, match="not standardised already"):
        standardised(standardised(Table(), batches()), batches())
    rare = batches()
    rare[0][0][0, 1] = 1e6  # a spread that is told by one value: what comes out is not near 1 either
    with pytest.raises(NotApplicableError, match="not standardised already"):
        standardised(standardised(Table(), rare), rare)


def test_hidden_layers_and_dead_features_are_no_data() -> None:
    model = Table()
    with torch.no_grad():
        model.first.bias[:4] = -1e9  # half of the hidden features are 0, whatever the weights
    assert list(joined_data(model, Data(tuple(batches()), loss), 0)) == ["first"]
