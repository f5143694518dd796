"""Of the windows that a pooling averages over, which overlap, hang over the edge or are of several sizes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def weights(module: Any, x: Tensor) -> Tensor:
    """The weight that each element has in the mean of its window, of the shape of the output's positions.

    Args:
        module: ``nn.AvgPool1d`` to ``3d`` or ``nn.AdaptiveAvgPool1d`` to ``3d``.
        x: A sample as it takes it, (1, channels, *positions).
    """
    ones = torch.ones(1, 1, *x.shape[2:], dtype=torch.float64)
    averaged = module(ones)
    if hasattr(module, "kernel_size"):
        return averaged / _counts(module, ones)
    for axis, (before, after) in enumerate(zip(ones.shape[2:], averaged.shape[2:], strict=True)):
        sizes = [math.ceil((i + 1) * before / after) - i * before // after for i in range(after)]
        averaged = averaged / torch.tensor(sizes, dtype=torch.float64).reshape(-1, *[1] * (ones.dim() - 3 - axis))
    return averaged


def _counts(module: Any, ones: Tensor) -> Tensor:
    """Elements of each window, without those of the padding: ``F.avg_pool3d`` alone counts with any divisor."""
    lead = 5 - ones.dim()
    kernel, stride, padding = (
        (*[fill] * lead, *_several(getattr(module, name), 3 - lead))
        for name, fill in (("kernel_size", 1), ("stride", 1), ("padding", 0))
    )
    lifted = ones.reshape(1, 1, *[1] * lead, *ones.shape[2:])
    counts = F.avg_pool3d(lifted, kernel, stride, padding, module.ceil_mode, divisor_override=1)
    return counts.reshape(1, 1, *counts.shape[2 + lead :])


def _several(value: Any, count: int) -> tuple[int, ...]:
    return (int(value),) * count if isinstance(value, int) else tuple(int(v) for v in value) * (count // len(value))
