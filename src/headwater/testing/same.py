"""Whether two things are the same to the bit."""

from typing import Any

import torch
from torch import Tensor


def same(a: Any, b: Any) -> bool:
    """Tensors, and whatever holds them, are compared by value, dtype and shape."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__array__"):
        return bool((a == b).all())
    return bool(a == b)
