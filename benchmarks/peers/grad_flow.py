"""``plot_grad_flow`` as passed on in the PyTorch forum (thread 15063, "Check gradient flow in network").

The plot itself is left out, which would cost more than everything else here: this is what its numbers cost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.peers import AfterStep


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """Call it once a step, with the gradients still there."""

    def after_step(loss: Tensor) -> None:
        plot_grad_flow(model)

    yield after_step


def plot_grad_flow(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Mean and largest absolute gradient of each parameter that is no bias."""
    ave_grads, max_grads = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "bias" not in name and parameter.grad is not None:
            ave_grads.append(parameter.grad.abs().mean())
            max_grads.append(parameter.grad.abs().max())
    return ave_grads, max_grads
