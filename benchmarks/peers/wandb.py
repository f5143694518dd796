"""``wandb.watch(log="all", log_freq=1)`` in an offline run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wandb
from torch import nn
from torch.optim import Optimizer

from benchmarks.peers import AfterStep


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """Histograms of all parameters and gradients go into the row that ``run.log`` closes."""
    with wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True, console="off")) as run:
        run.watch(model, log="all", log_freq=1)
        try:
            yield lambda loss: run.log({"loss": loss.item()})
        finally:
            run.unwatch(model)
