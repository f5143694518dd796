"""A watch keeps no tensor of the training alive, however long it runs."""

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from tests.cases import CASES, Case, cross_entropy, plain_mlp, vectors
from tests.watch.loops import momentum, train

STEPS = 200


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Cycles would be freed sooner or later; memory on a device that is full cannot wait for later."""
    torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(item), Tensor) for item in gc.get_objects())


class Witness:
    """Weak references to every batch, activation and gradient of a loop."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Tensor]] = []

    def __call__(self, tensor: Tensor) -> None:
        self.seen.append(weakref.ref(tensor))

    @property
    def alive(self) -> int:
        return sum(reference() is not None for reference in self.seen)

    def hook(self, module: nn.Module, args: Any, output: Any) -> None:
        for tensor in (*args, output):
            if isinstance(tensor, Tensor):
                self(tensor)
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self)


def _loop(case: Case, every: Any, steps: int, after: Callable[[int], None], witness: Witness) -> Any:
    model, _, loss = case.make()
    optimizer = momentum(model.parameters())
    for module in model.modules():
        module.register_forward_hook(witness.hook)
    with hw.watch(model, optimizer, every=every) as watch:
        for step in range(steps):
            batch = case.batch()
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            watch.log(loss=value)
            optimizer.step()
            del value, batch
            after(step)
    return watch


@pytest.mark.parametrize("case", ["mlp-tanh-he-4", "cnn-batchnorm", "lstm", "transformer-pre-norm", "residual"])
def test_nothing_of_a_step_is_alive_after_it(case: str) -> None:
    witness = Witness()
    kept: list[int] = []
    _loop(CASES[case], 1, 14, lambda step: kept.append(witness.alive), witness)
    assert len(witness.seen) > 14 * 3
    assert kept == [0] * 14


def test_number_of_tensors_stays_the_same() -> None:
    counts: dict[int, int] = {}

    def count(step: int) -> None:
        if step in (20, STEPS - 1):
            counts[step] = tensors_alive()

    watch = _loop(CASES["residual"], 1, STEPS, count, Witness())
    assert watch.sampled == STEPS
    assert counts[20] == counts[STEPS - 1]


WARM = 130  # steps, with the thorough ones that come after the 10th and the 100th


def test_memory_stays_bounded() -> None:
    model, batch = plain_mlp("relu"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        tracemalloc.start()
        train(model, optimizer, batch, cross_entropy, WARM)
        gc.collect()
        start, _ = tracemalloc.get_traced_memory()
        train(model, optimizer, batch, cross_entropy, STEPS)
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert watch.sampled == STEPS + WARM
    assert end - start < 100 * STEPS, end - start  # bytes


def test_events_are_bounded() -> None:
    model = plain_mlp("tanh")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    scaler.scale(torch.ones(()))
    with hw.watch(model, optimizer, every=5000, scaler=scaler) as watch:
        for number in range(2100):
            scaler.update(2.0 ** (100 if number % 2 else 99))
            optimizer.step()
    assert len(watch.events) == 1000
    assert watch.info.events_left_out > 0


@pytest.mark.parametrize("moment", ["forward", "loop"])
def test_step_that_never_ends_keeps_nothing_when_the_watch_is_over(moment: str) -> None:
    witness = Witness()
    model, batch, loss = CASES["lstm"].make()
    optimizer = momentum(model.parameters())
    for module in model.modules():
        module.register_forward_hook(witness.hook)
    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(3):
            value = loss(model, batch)
            if moment == "loop":
                value.backward()
        del value
    del batch
    assert watch.steps == 0
    assert witness.alive == 0


def test_measured_step_without_a_backward_pass_keeps_nothing() -> None:
    model, batch, loss = CASES["lstm"].make()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        before = tensors_alive()
        loss(model, batch)
        optimizer.step()
        assert watch.info.thorough == 1
        assert tensors_alive() == before
    assert watch.flow.site("lstm").activation.count > 0


def test_watch_lets_go_of_the_model() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, cross_entropy, 2)
    reference = weakref.ref(model)
    del watch, model, optimizer
    gc.collect()
    assert reference() is None
