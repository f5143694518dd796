"""Hugging Face's Trainer under its callback."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import headwater as hw
from headwater.records import InputError
from tests.integrations.conformance import CLIP, NETWORKS, RATE, Batches, Trained, batches, check_conformance, network

pytest.importorskip("accelerate", reason="the extra transformers brings it")
transformers = pytest.importorskip("transformers")

from headwater.integrations.transformers import HeadwaterCallback  # noqa: E402 - needs the package


class WithLoss(nn.Module):
    """What a Trainer takes: labels in, the loss among the outputs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class InOrder(torch.utils.data.IterableDataset):
    def __init__(self, data: Batches) -> None:
        self.samples = [{"x": x, "labels": y} for batch in data for x, y in zip(*batch, strict=True)]

    def __iter__(self) -> Any:
        return iter(self.samples)


def trainer(
    net: nn.Module, data: Batches, folder: Path, callbacks: list[Any], held_out: Any = None, **settings: Any
) -> Any:
    accumulate = settings.get("gradient_accumulation_steps", 1)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "hf"),
        per_device_train_batch_size=len(data[0][0]),
        max_steps=len(data) // accumulate,
        use_cpu=True,
        **{
            "optim": "sgd",
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "max_grad_norm": 0.0,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 1,
            **settings,
        },
    )
    model, train_set = WithLoss(net), InOrder(data)
    return transformers.Trainer(model, arguments, train_dataset=train_set, eval_dataset=held_out, callbacks=callbacks)


def training(folder: Path, **settings: Any) -> Any:
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        callback = HeadwaterCallback(every=1, run=run, quiet=True)
        trainer(net, data, folder, [callback] if run else [], **settings).train()
        return Trained(net, callback.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_trainer_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(training(tmp_path), name, tmp_path, prefix="net.")


def test_accumulated_steps_are_those_of_the_raw_loop(tmp_path: Path) -> None:
    train = training(tmp_path, gradient_accumulation_steps=3)
    check_conformance(train, "healthy", tmp_path, prefix="net.", accumulate=3)


def test_gradients_are_those_after_clipping(tmp_path: Path) -> None:
    train = training(tmp_path, max_grad_norm=CLIP)
    check_conformance(train, "healthy", tmp_path, prefix="net.", clip=CLIP)


def test_loss_is_the_raw_one_that_the_trainer_hides(tmp_path: Path) -> None:
    """Its own log repeats the mean of what came before; ours has the NaN, and says so as it happens."""
    data = batches()
    data[5][0].fill_(math.nan)
    heard: list[str] = []
    callback = HeadwaterCallback(
        every=1, run=tmp_path / "run", quiet=True, on_alarm=lambda e: heard.append(e.message.id)
    )
    trained = trainer(network("healthy"), data, tmp_path, [callback])
    trained.train()
    logged = [entry["loss"] for entry in trained.state.log_history if "loss" in entry]
    assert all(math.isfinite(loss) for loss in logged)
    losses = hw.open_run(tmp_path / "run").scalars()["loss"].values
    assert [math.isfinite(loss) for loss in losses] == [True] * 5 + [False] * 7
    assert heard[0] == "event.nonfinite"
    assert callback.report().findings[0].symptom == "nonfinite"


def test_stop_on_ends_the_training(tmp_path: Path) -> None:
    data = batches()
    data[5][0].fill_(math.nan)
    callback = HeadwaterCallback(every=1, run=None, quiet=True, stop_on=["nonfinite"])
    trained = trainer(network("healthy"), data, tmp_path, [callback])
    trained.train()
    assert trained.state.global_step == 6


def test_held_out_loss_is_logged(tmp_path: Path) -> None:
    data = batches()
    callback = HeadwaterCallback(every=1, run=tmp_path / "run", quiet=True)
    held_out = [{"x": x[0], "labels": y[0]} for x, y in data]
    net = network("healthy")
    trained = trainer(net, data, tmp_path, [callback], held_out, eval_strategy="steps", eval_steps=4)
    trained.train()
    evaluated = [entry["eval_loss"] for entry in trained.state.log_history if "eval_loss" in entry]
    assert len(evaluated) == 3
    assert list(hw.open_run(tmp_path / "run").scalars()["val_loss"].values) == evaluated


def test_nothing_is_left_on_the_model_and_a_second_training_is_watched_too(tmp_path: Path) -> None:
    callback = HeadwaterCallback(every=1, run=None, quiet=True)
    trained = trainer(network("healthy"), batches(), tmp_path, [callback])
    for _ in range(2):
        trained.train()
        assert callback.watch is not None
        assert callback.watch.sampled == 12
        assert not trained.model._forward_hooks


def test_wrong_option_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no option evry=. Did you mean every=\.\.\.\?"):
        HeadwaterCallback(evry=1)


def test_report_before_the_training_says_so() -> None:
    with pytest.raises(hw.InputError.__base__, match="training has not begun"):
        HeadwaterCallback().report()
