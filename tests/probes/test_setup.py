"""What surrounds a network is read off the graph, however long that is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import headwater as hw
from headwater.probes.setup import _signal
from tests.cases import vectors


class Node:
    """As autograd's, and counts how often it is looked at."""

    looks = 0

    def __init__(self, *sources: Node | None) -> None:
        self._sources = sources

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        Node.looks += 1
        return tuple((source, 0) for source in self._sources)


def test_a_loss_of_many_terms_along_one_way_is_looked_through_once() -> None:
    """Term after term is added up, each of the next state: the loss comes nearer to late states than to early ones."""
    site, constant = Node(), Node(None)
    state, total = site, constant
    states, totals = [], []
    for _ in range(500):
        state = Node(state)
        total = Node(total, Node(state))
        states.append(state)
        totals.append(total)
    nearest_first = [*reversed(totals), *(node for t in reversed(totals) for node in t._sources), *reversed(states)]
    Node.looks = 0
    signal = _signal(nearest_first, {site})
    assert {site, *states, *totals} <= signal
    assert constant not in signal
    assert Node.looks <= len(nearest_first)


def test_terms_of_the_loss_that_nothing_of_the_network_enters_are_no_signal() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 3))

    def penalised(model: Any, batch: Any) -> Tensor:
        total = nn.functional.cross_entropy(model(batch[0]), batch[1])
        for _ in range(3):
            total = total + 1e-6 * model[0].weight.square().sum()
        return total

    setup = hw.check(model, vectors(), penalised).flow.setup
    assert setup.operations["Pow"] == 3
    assert "Pow" not in setup.signal_operations
    assert setup.signal_operations["Add"] == 3
