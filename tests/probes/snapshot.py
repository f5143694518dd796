"""Everything about a model that measuring must leave as it was, down to the bit and the object."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headwater.probes.tree import tensors


def bits(tensor: Tensor) -> bytes:
    """The tensor's elements as raw bytes: NaN equals NaN here, and -0.0 differs from 0.0."""
    values = tensor.detach()
    if values.layout is not torch.strided:
        values = values.coalesce().values()
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def snapshot(model: nn.Module, batch: Any = None) -> dict[str, Any]:
    """What must be equal before and after, by readable names."""
    found: dict[str, Any] = {
        "random:torch": bits(torch.get_rng_state()),
        "random:numpy": str(np.random.get_state()),
        "random:python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
    }
    for name, module in model.named_modules():
        found[f"mode:{name}"] = module.training
        found[f"hooks:{name}"] = {
            key: len(value) for key, value in vars(module).items() if "hooks" in key and hasattr(value, "__len__")
        }
        for table in (module._parameters, module._buffers):
            for key, value in table.items():
                found |= _tensor(f"{name}.{key}", value)
    for index, value in enumerate(tensors(batch)):
        found |= _tensor(f"batch[{index}]", value)
    return found


def _tensor(name: str, value: Tensor | None) -> dict[str, Any]:
    if value is None:
        return {name: None}
    gradient = value.grad if value.is_leaf else None
    return {
        name: (id(value), bits(value), value.requires_grad),
        f"grad:{name}": None if gradient is None else (id(gradient), bits(gradient)),
        f"tensor hooks:{name}": len(value._backward_hooks or ()),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not equal."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
