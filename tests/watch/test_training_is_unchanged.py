"""A training that is watched is the training alone, bit for bit, whatever the network."""

import random
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cases import CASES, Case
from tests.probes.snapshot import differences
from tests.watch.loops import Every, Run, adam, momentum, run, surroundings
from tests.zoo import ZOO

STEPS = 4
# Adam takes no sparse gradients.
SPARSE = {"embedding-sparse", "recommender-sparse"}
EVERY: tuple[Every, ...] = (1, 2, "auto")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _other_generators() -> Iterator[None]:
    """Cases draw from numpy and Python too; the seed of a case is that of torch alone."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def _trained(case: Case, every: Every | None) -> Run:
    def make(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        number = list(cases).index(case.id)
        return momentum(parameters) if case.id in SPARSE or number % 2 else adam(parameters)

    random.seed(0)
    np.random.seed(0)
    return run(case, make, STEPS, every)


cases: dict[str, Case] = {**CASES, **ZOO}


@pytest.mark.parametrize("case", cases.values(), ids=lambda case: case.id)
def test_watched_training_is_the_same_to_the_bit(case: Case) -> None:
    alone = _trained(case, None)
    before = surroundings()
    for every in EVERY:
        watched = _trained(case, every)
        assert watched.losses == alone.losses, every
        assert differences(alone.state, watched.state) == [], every
        assert surroundings() == before, every
        assert watched.watch is not None
        assert watched.watch.steps == STEPS
        assert watched.watch.sampled == {1: STEPS, 2: STEPS // 2, "auto": 1}[every]
        assert [event.message.id for event in watched.watch.events if event.message.id != "event.nonfinite"] == []
