"""headwater itself: ``with hw.watch(model, optimizer, every=...)`` around the loop, which stays as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer

import headwater as hw
from benchmarks.peers import AfterStep


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path, every: int | Literal["auto"]) -> Iterator[AfterStep]:
    """Watch the model; the step's end is seen through the optimizer."""
    with hw.watch(model, optimizer, every=every) as watch:
        yield Seen(watch)


class Seen:
    """Nothing to call after a step; holds the watch, for what it says about itself."""

    def __init__(self, watch: object) -> None:
        self.watch = watch

    def __call__(self, loss: Tensor) -> None:
        """Nothing: the loop is unchanged."""
