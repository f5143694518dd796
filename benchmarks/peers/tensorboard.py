"""``SummaryWriter.add_histogram`` of every parameter and gradient."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from benchmarks.peers import AfterStep


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """The loop that tutorials show, once a step."""
    steps = count()
    with SummaryWriter(str(folder)) as writer:

        def after_step(loss: Tensor) -> None:
            step = next(steps)
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, step)
                if parameter.grad is not None:
                    writer.add_histogram(f"{name}.grad", parameter.grad, step)

        yield after_step
