"""skorch under its callback."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import headwater as hw
from tests.integrations.conformance import CLIP, NETWORKS, RATE, SAMPLES, Batches, Trained, check_conformance, network

skorch = pytest.importorskip("skorch", reason="the extra skorch brings it")

from headwater.integrations.skorch import HeadwaterCallback  # noqa: E402 - needs the package


def arrays(data: Batches) -> tuple[np.ndarray, np.ndarray]:
    return torch.cat([x for x, _ in data]).numpy(), torch.cat([y for _, y in data]).numpy()


def net_of(net: nn.Module, *callbacks: object, **settings: object) -> object:
    return skorch.NeuralNet(
        net,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=RATE,
        max_epochs=1,
        batch_size=SAMPLES,
        callbacks=list(callbacks),
        verbose=0,
        **{"train_split": None, **settings},
    )


def train(net: nn.Module, data: Batches, run: Path | None) -> Trained:
    callback = HeadwaterCallback(every=1, run=run, quiet=True)
    fitted = net_of(net, *([callback] if run else [])).fit(*arrays(data))
    return Trained(fitted.module_, callback.report() if run else None)


@pytest.mark.parametrize("name", NETWORKS)
def test_skorch_shows_what_the_raw_loop_shows(tmp_path: Path, name: str) -> None:
    check_conformance(train, name, tmp_path)


def test_gradients_are_those_before_clipping(tmp_path: Path) -> None:
    def clipped(net: nn.Module, data: Batches, run: Path | None) -> Trained:
        callback = HeadwaterCallback(every=1, run=run, quiet=True)
        clipping = skorch.callbacks.GradientNormClipping(CLIP)
        fitted = net_of(net, *([callback, clipping] if run else [clipping])).fit(*arrays(data))
        return Trained(fitted.module_, callback.report() if run else None)

    check_conformance(clipped, "healthy", tmp_path, clip=CLIP, before_clipping=True)


def test_held_out_loss_is_logged_and_its_passes_are_no_steps(tmp_path: Path) -> None:
    from tests.integrations.conformance import batches

    callback = HeadwaterCallback(every=1, run=tmp_path / "run", quiet=True)
    split = skorch.dataset.ValidSplit(2, stratified=False)
    fitted = net_of(network("healthy"), callback, train_split=split).fit(*arrays(batches()))
    assert callback.watch is not None
    assert callback.watch.sampled == 6
    logged = hw.open_run(tmp_path / "run").scalars()["val_loss"].values
    assert list(logged) == [fitted.history[-1]["valid_loss"]]


def test_callback_can_be_copied_by_a_search_over_parameters() -> None:
    from sklearn.base import clone

    copy = clone(HeadwaterCallback(every=3, quiet=True), safe=False)
    assert copy.get_params() == {"every": 3, "quiet": True}
    assert copy.watch is None
