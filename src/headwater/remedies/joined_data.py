"""Which features of a layer's input are data, where they are joined with what weights have made of other data.

With all weights moved a little, and the same random numbers, data arrive as they did; whatever a weight has had a part
in does not.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.classify import module_kind
from headwater.probes.measure import checked_loss
from headwater.remedies.data import Data, drawing_under
from headwater.remedies.scale_of_data import MOST_FEATURES, feature_axis, is_standard, scale_of

MOVED = 0.1  # of a weight's rms, or of 1 where it is zero: anything that rounding does not swallow


def joined_data(model: nn.Module, data: Data, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and spread of the features of each layer that are data; 0 and 1 of the others.

    Layers that take nothing but data, or none, are left out, and those whose data have mean 0 and spread 1.

    Args:
        model: A copy, whose weights are as before afterwards.
        data: Of the first batches.
        seed: Of what the model draws.
    """
    first = _arriving(model, data, seed)
    second = _arriving_otherwise(model, data, seed)
    found = {}
    for name, inputs in first.items():
        axis = feature_axis(model.get_submodule(name))
        mask = _alike(inputs, second.get(name, []), axis)
        if mask is None or not bool(mask.any()) or bool(mask.all()):
            continue
        mean, std = scale_of(inputs, axis)
        mask = mask.reshape(mean.shape)
        scale = torch.where(mask, mean, 0.0), torch.where(mask, std, 1.0)
        if not is_standard(*scale):
            found[name] = scale
    return found


def _alike(first: list[Tensor], second: list[Tensor], axis: int) -> Tensor | None:
    """Which features vary and are the same both times; ``None`` where that cannot be told."""
    if [x.shape for x in first] != [x.shape for x in second] or len({x.shape[axis] for x in first}) != 1:
        return None
    if first[0].shape[axis] > MOST_FEATURES:
        return None
    one, other = (torch.cat([x.movedim(axis, -1).flatten(0, -2) for x in inputs]) for inputs in (first, second))
    return (one == other).all(0) & (one != one[:1]).any(0)


def _arriving_otherwise(model: nn.Module, data: Data, seed: int) -> dict[str, list[Tensor]]:
    """What arrives with all weights moved; they are put back."""
    weights = [p for p in model.parameters() if p.is_floating_point()]
    before = [p.detach().clone() for p in weights]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in weights:
            rms = float(p.to(torch.float64).square().mean().sqrt()) if p.numel() else 0.0
            p.add_((MOVED * (rms or 1.0) * torch.randn(p.shape, generator=generator)).to(p))
    try:
        return _arriving(model, data, seed)
    finally:
        with torch.no_grad():
            for p, old in zip(weights, before, strict=True):
                p.copy_(old)


def _arriving(model: nn.Module, data: Data, seed: int) -> dict[str, list[Tensor]]:
    """What each layer with weights is given, batch by batch."""
    found: dict[str, list[Tensor]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = next((v for v in chain(args, kwargs.values()) if isinstance(v, Tensor)), None)
            if given is not None and given.is_floating_point() and given.dim() > 1 and torch.is_grad_enabled():
                found.setdefault(name, []).append(given.detach())

        return hook

    handles = [
        module.register_forward_pre_hook(note(name), with_kwargs=True)
        for name, module in model.named_modules()
        if name and module_kind(module) in ("affine", "recurrent")
    ]
    try:
        with drawing_under(seed):
            for batch in data.batches:
                checked_loss(model, batch, data.loss)
    finally:
        for handle in handles:
            handle.remove()
    return found
