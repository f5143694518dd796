"""Ignite's engines under the handler."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.integrations.conformance import NETWORKS, RATE, Batches, Trained, batches, check_conformance, network

ignite = pytest.importorskip("ignite.engine", reason="the extra ignite brings it")

from headwater.integrations.ignite import HeadwaterHandler  # noqa: E402 - needs the package


def training(accumulate: int = 1, evaluate: bool = False):
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
        trainer = ignite.create_supervised_trainer(
            net, optimizer, nn.CrossEntropyLoss(), gradient_accumulation_steps=accumulate
        )
        handler = HeadwaterHandler(net, optimizer, accumulate=accumulate, every=1, run=run, quiet=True)
        if run is not None:
            handler.attach(trainer)
        if evaluate:
            evaluator = ignite.create_supervised_evaluator(net)
            trainer.add_event_handler(ignite.Events.ITERATION_COMPLETED, lambda _: evaluator.run(data[:1]))
        trainer.run(data, max_epochs=1)
        return Trained(net, handler.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_ignite_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(training(), name, tmp_path)


def test_accumulated_steps_are_those_of_the_raw_loop(tmp_path: Path) -> None:
    check_conformance(training(accumulate=3), "healthy", tmp_path, accumulate=3)


def test_evaluation_between_the_steps_is_no_part_of_them(tmp_path: Path) -> None:
    check_conformance(training(evaluate=True), "healthy", tmp_path)


def test_stop_on_ends_the_training_and_the_watch_with_it() -> None:
    data = batches()
    data[5][0].fill_(math.nan)
    net = network("healthy")
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    trainer = ignite.create_supervised_trainer(net, optimizer, nn.CrossEntropyLoss())
    handler = HeadwaterHandler(net, optimizer, every=1, run=None, quiet=True, stop_on=["nonfinite"]).attach(trainer)
    state = trainer.run(data, max_epochs=1)
    assert state.iteration == 6
    assert not torch.nn.modules.module._global_forward_hooks
    assert handler.report().findings[0].symptom == "nonfinite"


def test_exception_of_the_training_is_raised_as_without_the_handler() -> None:
    net = network("healthy")
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    trainer = ignite.create_supervised_trainer(net, optimizer, nn.CrossEntropyLoss())
    handler = HeadwaterHandler(net, optimizer, every=1, run=None, quiet=True).attach(trainer)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trainer.run([(torch.randn(4, 5), torch.zeros(4).long())], max_epochs=1)
    handler.close()
    assert not torch.nn.modules.module._global_forward_hooks
