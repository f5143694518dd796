"""A loop of one's own with Accelerate."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from headwater.records import InputError
from tests.integrations.conformance import CLIP, NETWORKS, RATE, Batches, Trained, batches, check_conformance, network

accelerate = pytest.importorskip("accelerate", reason="the extra accelerate brings it")

from headwater.integrations.accelerate import watch  # noqa: E402 - needs the package


def training(accumulate: int = 1, clip: float | None = None, before: bool = False):
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
        optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
        model, optimizer = accelerator.prepare(net, optimizer)
        with watch(accelerator, model, optimizer, every=1, run=run, quiet=True) as watched:
            if run is None:
                watched.close()
            total = 0.0
            for x, y in data:
                with accelerator.accumulate(model):
                    loss = F.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    total += loss.item() / accumulate
                    if accelerator.sync_gradients:
                        if before:
                            watched.gradients_ready(optimizer.optimizer)
                        if clip is not None:
                            accelerator.clip_grad_norm_(model.parameters(), clip)
                        watched.log(loss=total)
                        total = 0.0
                    optimizer.step()
                    optimizer.zero_grad()
        return Trained(net, watched.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_accelerate_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(training(), name, tmp_path)


def test_accumulated_steps_are_those_of_the_raw_loop(tmp_path: Path) -> None:
    check_conformance(training(accumulate=3), "healthy", tmp_path, accumulate=3)


@pytest.mark.parametrize("before", [False, True])
def test_gradients_are_those_before_or_after_clipping(tmp_path: Path, before: bool) -> None:
    check_conformance(training(clip=CLIP, before=before), "healthy", tmp_path, clip=CLIP, before_clipping=before)


def test_first_argument_is_the_accelerator() -> None:
    net = network("healthy")
    with pytest.raises(InputError, match=r"watch\(accelerator, model, optimizer\)"):
        watch(net, net, torch.optim.SGD(net.parameters(), lr=RATE))


def test_batches_in_order_differ() -> None:
    """The conformance rests on order: batches that were all alike could not tell one."""
    first, second, *_ = batches()
    assert not torch.equal(first[0], second[0])
