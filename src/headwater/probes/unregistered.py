"""Weights that a module uses and does not register: layers in a plain list, tensors that are no parameters.

``model.parameters()`` does not give them, so no optimizer made from it trains them, ``.to(device)`` leaves them behind
and ``state_dict()`` does not save them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

_DEEP = 3  # lists in lists that are looked through
_OWN = frozenset(vars(nn.Module()))  # where a module keeps what it does register


def unregistered(
    model: nn.Module, leaves: Iterable[Tensor] | None, optimizer: torch.optim.Optimizer | None
) -> dict[str, int]:
    """What the loss depends on and hangs at a module's attribute, neither registered nor held by the optimizer.

    Args:
        model: Whose modules are looked through.
        leaves: Of the loss's graph; without it, what has a gradient by now.
        optimizer: That trains the model; what it holds is trained, registered or not.

    Returns:
        Name of the attribute to the number of elements in its tensors.
    """
    groups = optimizer.param_groups if optimizer is not None else []
    trained = {id(p) for p in model.parameters()} | {id(p) for group in groups for p in group["params"]}
    reached = None if leaves is None else {id(leaf) for leaf in leaves}
    found: dict[str, int] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            hidden = {id(tensor): tensor for tensor in _tensors(value, _DEEP)} if key not in _OWN else {}
            own = [t for t in hidden.values() if id(t) not in trained and t.requires_grad and t.is_leaf]
            own = [t for t in own if (t.grad is not None if reached is None else id(t) in reached)]
            if own:
                found[f"{name}.{key}" if name else key] = sum(t.numel() for t in own)
    return found


def _tensors(value: Any, depth: int) -> Iterator[Tensor]:
    """Those of an attribute: itself, a module's parameters, what a container holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, (list, tuple, set, frozenset, dict)) and depth:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item, depth - 1)
