"""What a loss hands to the model of a batch, and which tensors of it are targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from headwater.probes.measure import Loss
from headwater.probes.seen_through import SeenThrough
from headwater.probes.tree import own_copy, tensors


def inputs_and_targets(model: nn.Module, batch: Any, loss: Loss) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that the model is called with, and those of the batch that are targets of their own.

    A target holds classes, or numbers of the output's shape, one for each sample; the model is not given it, and the
    loss looks at it. What a batch brings along and no loss looks at (labels beside a density model, a known solution
    beside an equation) is nothing that inputs could be paired with.

    Args:
        model: In eval mode, gradients off.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch)``.

    Returns:
        Both empty where the loss never calls the model as a whole.
    """
    batch = own_copy(batch)
    held = list(tensors(batch))
    given: list[Tensor] = []
    outputs: list[Tensor] = []

    def note(values: list[Any]) -> list[Any]:
        given.extend(tensors(values))
        return values

    handle = model.register_forward_hook(lambda module, args, output: outputs.extend(tensors(output)))
    reads = _Reads()
    try:
        with reads:
            loss(SeenThrough(model, note), batch)
    finally:
        handle.remove()
    if not given or not outputs or given[0].dim() == 0:
        return [], []
    samples, storages = len(given[0]), set(map(_storage, given))
    shape = outputs[0].shape
    targets = [
        tensor
        for tensor in held
        if tensor.dim() and len(tensor) == samples and _storage(tensor) not in storages
        if _storage(tensor) in reads.storages and _is_target(tensor, shape)
    ]
    return [tensor for tensor in given if tensor.dim() and len(tensor) == samples], targets


def _is_target(tensor: Tensor, output: torch.Size) -> bool:
    """Whether it holds classes, or numbers of the output's shape."""
    return not tensor.is_floating_point() or tensor.shape in (output, output[:-1])


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Reads(TorchDispatchMode):
    """Notes the storages of all tensors that an operation takes in."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        taken = tensors([*args, *(kwargs or {}).values()])
        self.storages.update(_storage(tensor) for tensor in taken if not _only_makes_a_view(func))
        return func(*args, **(kwargs or {}))


def _only_makes_a_view(func: Any) -> bool:
    """Whether an operation hands on the same numbers, as the batch's taking apart does."""
    return bool(func.is_view)
