"""What a training step hands to the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.measure import Loss
from headwater.probes.tree import own_copy
from headwater.records import InputError


class _Seen(Exception):
    """Ends the step as soon as the model has been called."""


def first_inputs(model: nn.Module, batch: Any, loss: Loss) -> list[Tensor]:
    """The tensors that the model is called with first; the call itself never happens.

    Args:
        model: As it is.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch)``.

    Raises:
        InputError: If the loss never calls the model with a tensor.
    """
    found: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.extend(value.detach() for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        raise _Seen

    handle = model.register_forward_pre_hook(note, with_kwargs=True, prepend=True)
    try:
        with torch.no_grad():
            loss(model, own_copy(batch))
    except _Seen:
        pass
    finally:
        handle.remove()
    if not found or any(tensor.dim() < 1 for tensor in found):
        raise InputError(
            f"the shape of the input cannot be told: the loss calls {type(model).__name__} with no batch of tensors. "
            "Give it: input_shape=(3, 32, 32)."
        )
    return found
