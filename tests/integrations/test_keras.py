"""Keras 3 on torch under its callback."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import headwater as hw
from headwater.records import InputError
from tests.integrations.conformance import (
    CLIP,
    NETWORKS,
    RATE,
    SAMPLES,
    STEPS,
    TOLERANCE,
    Batches,
    Trained,
    batches,
    check_conformance,
    network,
)

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="the extra keras brings it")

from headwater.integrations.keras import HeadwaterCallback  # noqa: E402 - needs the package

PREFIX = "wrapped.module."


def cross_entropy(y: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, y.long().reshape(-1), reduction="none")


def mean_as_keras(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return cross_entropy(y, logits).sum() / len(y)


class AsKeras(torch.optim.SGD):
    """Plain steps rounded as Keras's are: the rate is a number in float32, and the step one before it is subtracted."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad * torch.tensor(group["lr"]))


def model_of(net: nn.Module, **settings: Any) -> Any:
    """The very network, inside a model of Keras's."""
    model = keras.Sequential([keras.layers.TorchModuleWrapper(net, name="wrapped")])
    model.compile(optimizer=keras.optimizers.SGD(RATE, **settings), loss=cross_entropy)
    return model


def fit(net: nn.Module, data: Batches, *callbacks: Any, **settings: Any) -> Any:
    x, y = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    model = model_of(net, **settings)
    history = model.fit(x, y, batch_size=SAMPLES, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model, history


def training(**settings: Any) -> Any:
    def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        callback = HeadwaterCallback(every=1, run=run, quiet=True)
        fit(net, data, *([callback] if run else []), **settings)
        return Trained(net, callback.report() if run else None)

    return train


@pytest.mark.parametrize("name", NETWORKS)
def test_keras_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    # Keras rounds its loss in its own way, and gradients of 1e-15 are what is left of sums that cancel.
    tolerance = TOLERANCE if name == "healthy" else 2e-5
    own = {"optimizer": AsKeras, "loss": mean_as_keras, "tells_loss": False, "tolerance": tolerance}
    check_conformance(training(), name, tmp_path, prefix=PREFIX, **own)


def test_gradients_are_those_before_clipping(tmp_path: Path) -> None:
    train = training(global_clipnorm=CLIP)
    check_conformance(
        train,
        "healthy",
        tmp_path,
        prefix=PREFIX,
        clip=CLIP,
        before_clipping=True,
        tells_loss=False,
        optimizer=AsKeras,
        tolerance=5e-3,  # torch adds 1e-6 to the norm that it clips by, Keras does not
    )


def test_loss_is_that_of_each_batch(tmp_path: Path) -> None:
    """Keras keeps sums over an epoch in float32, of which a batch's is a difference."""
    fit(network("healthy"), batches(), HeadwaterCallback(every=1, run=tmp_path / "run", quiet=True))
    net = network("healthy")
    losses = hw.open_run(tmp_path / "run").scalars()["loss"].values
    assert len(losses) == STEPS
    x, y = batches()[0]
    assert losses[0] == pytest.approx(F.cross_entropy(net(x), y).item(), rel=1e-5)
    assert len({round(loss, 4) for loss in losses}) > STEPS / 2


def test_stop_on_ends_the_training() -> None:
    data = batches()
    data[5][0].fill_(math.nan)
    callback = HeadwaterCallback(every=1, run=None, quiet=True, stop_on=["nonfinite"])
    fit(network("healthy"), data, callback)
    assert callback.watch is not None
    assert callback.watch.steps == 6
    assert callback.report().findings[0].symptom == "nonfinite"


def test_optimizer_goes_by_the_name_it_has_in_keras() -> None:
    callback = HeadwaterCallback(every=1, run=None, quiet=True)
    fit(network("healthy"), batches(), callback)
    assert callback.report().flow.optimizer == "SGD"


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="Keras runs on jax here, and headwater watches torch"):
        HeadwaterCallback()
