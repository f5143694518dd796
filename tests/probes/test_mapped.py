"""Tensors exchanged for others inside whatever holds them."""

import dataclasses
from collections import OrderedDict, UserDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from headwater.probes.tree import mapped, tensors


@dataclasses.dataclass(frozen=True)
class Pair:
    x: Tensor
    y: Any
    name: str = "pair"


class Point(NamedTuple):
    x: Tensor
    y: Tensor


X, Y = torch.ones(2), torch.zeros(2)


@pytest.mark.parametrize(
    "value",
    [
        X,
        (X, Y),
        [X, (Y, 3)],
        {"x": X, "y": Y},
        Point(X, Y),
        Pair(X, Y),
        Pair(X, Pair(X, {"deep": Y})),
        UserDict(x=X, y=[Y]),
        OrderedDict(x=X, y=UserDict(y=Pair(X, None))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_tensor_is_changed_and_nothing_else(value: Any) -> None:
    before = [tensor.clone() for tensor in tensors(value)]
    changed = mapped(lambda tensor: tensor + 1, value)
    assert type(changed) is type(value)
    for tensor, now, then in zip(tensors(value), tensors(changed), before, strict=True):
        assert torch.equal(tensor, then)
        assert torch.equal(now, then + 1)


def test_several_are_put_together_place_by_place() -> None:
    both = mapped(lambda *parts: torch.cat(parts), Pair(X, UserDict(y=Y)), Pair(Y, UserDict(y=X), "other"))
    assert torch.equal(both.x, torch.cat([X, Y]))
    assert torch.equal(both.y["y"], torch.cat([Y, X]))
    assert both.name == "pair"


def test_values_built_otherwise_are_refused() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        mapped(lambda *parts: torch.cat(parts), [X, Y], [X])
