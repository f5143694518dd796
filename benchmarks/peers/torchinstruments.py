"""``torchinstruments.inject_observer``, told to sample every forward pass instead of one a minute."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from torch.optim import Optimizer
from torchinstruments import inject_observer, remove_observer
from torchinstruments.sampling import AlwaysSampler

from benchmarks.peers import AfterStep
from benchmarks.peers.bare import nothing


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """It refreshes its files after every sample, and that is part of the step."""
    inject_observer(model, sampler=AlwaysSampler(), output_dir=folder / "stats")
    try:
        yield nothing
    finally:
        remove_observer(model)
