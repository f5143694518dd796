"""What one writes oneself: plain hooks, and eight torch reductions of every tensor that passes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.peers import AfterStep

Summary = tuple[float, ...]


@contextmanager
def attached(model: nn.Module, optimizer: Optimizer, folder: Path) -> Iterator[AfterStep]:
    """Hook the outputs of all leaf modules and their gradients; parameters and theirs are read at the step's end."""
    record: list[Summary] = []

    def after_step(loss: Tensor) -> None:
        for parameter in model.parameters():
            record.append(eight(parameter))
            if parameter.grad is not None:
                record.append(eight(parameter.grad))
        record.clear()

    def after_forward(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            record.append(eight(output))
            if output.requires_grad:
                # On the tensor, not the module: a full backward hook breaks where the next layer writes in place.
                output.register_hook(lambda gradient: record.append(eight(gradient)))

    with ExitStack() as stack:
        for module in model.modules():
            if not list(module.children()):
                stack.callback(module.register_forward_hook(after_forward).remove)
        yield after_step


@torch.no_grad()
def eight(tensor: Tensor) -> Summary:
    """Mean, standard deviation, largest magnitude, range, ℓ₂ norm, zeros, and elements that are not finite."""
    return (
        tensor.mean().item(),
        tensor.std().item(),
        tensor.abs().max().item(),
        tensor.min().item(),
        tensor.max().item(),
        tensor.norm().item(),
        (tensor == 0).sum().item(),
        (~tensor.isfinite()).sum().item(),
    )
