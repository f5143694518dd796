"""Lightning's Trainer under its callback, and a loop of one's own with Fabric."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import headwater as hw
from tests.integrations.conformance import CLIP, NETWORKS, RATE, Batches, Trained, batches, check_conformance, network

pl = pytest.importorskip("pytorch_lightning", reason="the extra lightning brings it")

from lightning_fabric import Fabric  # noqa: E402 - comes with it

from headwater.integrations.fabric import watch  # noqa: E402
from headwater.integrations.lightning import HeadwaterCallback  # noqa: E402


class Task(pl.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=RATE)


def trainer(folder: Path, callbacks: list[Any], **settings: Any) -> Any:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        callbacks=callbacks,
        **{"max_epochs": 1, "logger": False, **quiet, **settings},
    )


def training(folder: Path, **settings: Any) -> Any:
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        callback = HeadwaterCallback(every=1, run=run, quiet=True)
        loader = torch.utils.data.DataLoader(data, batch_size=None)
        trainer(folder, [callback] if run else [], **settings).fit(Task(net), loader)
        return Trained(net, callback.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_trainer_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(training(tmp_path), name, tmp_path, prefix="net.")


def test_accumulated_steps_are_those_of_the_raw_loop(tmp_path: Path) -> None:
    train = training(tmp_path, accumulate_grad_batches=3)
    check_conformance(train, "healthy", tmp_path, prefix="net.", accumulate=3)


def test_gradients_are_those_before_clipping(tmp_path: Path) -> None:
    train = training(tmp_path, gradient_clip_val=CLIP)
    check_conformance(train, "healthy", tmp_path, prefix="net.", clip=CLIP, before_clipping=True)


def test_held_out_loss_is_logged_but_not_that_of_the_sanity_check(tmp_path: Path) -> None:
    callback = HeadwaterCallback(every=1, run=tmp_path / "run", quiet=True)
    loader = torch.utils.data.DataLoader(batches(), batch_size=None)
    fitted = trainer(tmp_path, [callback], max_epochs=2)
    fitted.fit(Task(network("healthy")), loader, loader)
    logged = hw.open_run(tmp_path / "run").scalars()["val_loss"].values
    assert len(logged) == 2
    assert logged[-1] == pytest.approx(float(fitted.callback_metrics["val_loss"]))


def test_stop_on_ends_the_training(tmp_path: Path) -> None:
    data = batches()
    data[5][0].fill_(math.nan)
    callback = HeadwaterCallback(every=1, run=None, quiet=True, stop_on=["nonfinite"])
    fitted = trainer(tmp_path, [callback])
    fitted.fit(Task(network("healthy")), torch.utils.data.DataLoader(data, batch_size=None))
    assert fitted.global_step == 6
    assert callback.report().findings[0].symptom == "nonfinite"


def test_watch_ends_with_a_training_that_fails(tmp_path: Path) -> None:
    class Failing(Task):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            if index == 3:
                raise ValueError("the data end here")
            return super().training_step(batch, index)

    callback = HeadwaterCallback(every=1, run=None, quiet=True)
    with pytest.raises(ValueError, match="the data end here"):
        trainer(tmp_path, [callback]).fit(
            Failing(network("healthy")), torch.utils.data.DataLoader(batches(), batch_size=None)
        )
    assert callback.watch is not None
    assert callback.watch.sampled == 3
    assert not torch.nn.modules.module._global_forward_hooks


def fabric_training(clip: float | None = None, before: bool = False) -> Any:
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        fabric = Fabric(accelerator="cpu", devices=1)
        model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=RATE))
        with watch(fabric, model, optimizer, every=1, run=run, quiet=True) as watched:
            if run is None:
                watched.close()
            for x, y in data:
                loss = F.cross_entropy(model(x), y)
                fabric.backward(loss)
                if before:
                    watched.gradients_ready(optimizer.optimizer)
                if clip is not None:
                    fabric.clip_gradients(model, optimizer, max_norm=clip)
                watched.log(loss=loss)
                optimizer.step()
                optimizer.zero_grad()
        return Trained(net, watched.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_fabric_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(fabric_training(), name, tmp_path)


@pytest.mark.parametrize("before", [False, True])
def test_fabric_gradients_are_those_before_or_after_clipping(tmp_path: Path, before: bool) -> None:
    check_conformance(fabric_training(CLIP, before), "healthy", tmp_path, clip=CLIP, before_clipping=before)
