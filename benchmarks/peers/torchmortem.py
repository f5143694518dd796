"""``torchmortem.Autopsy`` as its quick start has it, with the default sampling.

Activations, gradients and weights are summed up on every step. The curvature stays out: it would need the loss as a
tensor, and the quick start hands over a number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from torch.optim import Optimizer
from torchmortem import Autopsy

from benchmarks.peers import AfterStep


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """It learns of the step's end, and of the loss, by a call."""
    with Autopsy(model, optimizer=optimizer) as autopsy:
        yield lambda loss: autopsy.step(loss=loss.item())
