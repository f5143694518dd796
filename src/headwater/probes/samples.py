"""What a loss hands to the model of a batch, and which tensors of it are targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.measure import Loss
from headwater.probes.seen_through import SeenThrough
from headwater.probes.tree import tensors


def inputs_and_targets(model: nn.Module, batch: Any, loss: Loss) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors that the model is called with, and those of the batch that are targets of their own.

    A target holds classes, or numbers of the output's shape, one for each sample, and the model is not given it.

    Args:
        model: In eval mode, gradients off.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch)``.

    Returns:
        Both empty where the loss never calls the model as a whole.
    """
    given: list[Tensor] = []
    outputs: list[Tensor] = []

    def note(values: list[Any]) -> list[Any]:
        given.extend(tensors(values))
        return values

    handle = model.register_forward_hook(lambda module, args, output: outputs.extend(tensors(output)))
    try:
        loss(SeenThrough(model, note), batch)
    finally:
        handle.remove()
    if not given or not outputs or given[0].dim() == 0:
        return [], []
    samples, storages = len(given[0]), {tensor.untyped_storage().data_ptr() for tensor in given}
    shape = outputs[0].shape
    targets = [
        tensor
        for tensor in tensors(batch)
        if tensor.dim() and len(tensor) == samples and tensor.untyped_storage().data_ptr() not in storages
        if _is_target(tensor, shape)
    ]
    return [tensor for tensor in given if tensor.dim() and len(tensor) == samples], targets


def _is_target(tensor: Tensor, output: torch.Size) -> bool:
    """Whether it holds classes, or numbers of the output's shape."""
    return not tensor.is_floating_point() or tensor.shape in (output, output[:-1])
