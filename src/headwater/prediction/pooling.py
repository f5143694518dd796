"""How mean and variance pass through the largest of a window, and the gradient back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headwater.prediction.rules import Passed
from headwater.prediction.signal import Gradient, Signal, Source

_NODES = 129  # between 8 deviations below the lowest mean and 8 above the highest
_CHUNK = 1 << 22  # numbers at a time: windows of a large image times nodes are gigabytes
_FALLING = -0.2  # slope to which an activation still passes for rising; GELU, SiLU and Mish fall by 0.13 at most


class _Largest(NamedTuple):
    """Of each window; ``chance``, ``slope`` and ``square_slope`` of each of its elements.

    Attributes:
        chance: To be the largest.
        mean: Of the largest.
        square: Second moment of the largest.
        slope: E[φ′] of an element where it is the largest.
        square_slope: E[φ′²] of it.
    """

    chance: Tensor
    mean: Tensor
    square: Tensor
    slope: Tensor
    square_slope: Tensor


def max_pooled(windows_of: Callable[[Tensor], Tensor], restore: Callable[[Tensor], Tensor], signal: Signal) -> Passed:
    """The largest of a window of normal variables, taken to be independent.

    Behind an activation the largest is taken of what the activation was taken of: the zeros of a ReLU are not normal,
    and what is the largest of a window is rarely one of them.

    Args:
        windows_of: From the input to (windows, elements of a window), channel by channel; what lies outside is -inf.
        restore: From one number per window to the output.
        signal: The input.
    """
    source = signal.source if signal.source is not None and _rises(signal.source) else None
    mean, variance = (signal.mean, signal.variance) if source is None else (source.mean, source.variance)
    with torch.enable_grad():
        place = torch.zeros_like(mean, requires_grad=True)
        windows = windows_of(place)
    means = windows_of(mean)
    present = torch.isfinite(means)
    means = torch.where(present, means, 0.0)
    deviations = torch.where(present, windows_of(variance), 0.0).clamp(min=1e-300).sqrt()
    found = _largest(means, deviations, present, source)
    output = signal.like(restore(found.mean), restore((found.square - found.mean.square()).clamp(min=0)))

    def to_places(of_windows: Tensor) -> Tensor:
        return torch.autograd.grad(windows, place, of_windows, retain_graph=True)[0]

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = gradients[0]
        assert gradient is not None
        back = torch.stack([to_places(row.reshape(-1, 1) * found.chance) for row in gradient.means])
        squares = to_places(gradient.square.reshape(-1, 1) * found.chance)
        variance = (squares - back.square().mean(0)).clamp(min=0)
        slopes = None
        if source is not None:
            total = to_places(found.chance).clamp(min=1e-300)
            slopes = (
                to_places(found.chance * found.slope) / total,
                to_places(found.chance * found.square_slope) / total,
            )
        return [Gradient(back, variance, gradient.spread, gradient.exponent, slopes=slopes)]

    return [output], pull


def windows_of(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """How ``nn.MaxPool1d`` and ``nn.MaxPool2d`` cut their input; ``None`` for any other or unusual one."""
    if isinstance(module, nn.MaxPool2d):
        kernel, stride, padding = (_pair(v) for v in (module.kernel_size, module.stride, module.padding))
        dilation, is_plain = _pair(module.dilation), not (module.ceil_mode or module.return_indices)
    elif isinstance(module, nn.MaxPool1d):
        kernel, stride, padding = ((1, _one(v)) for v in (module.kernel_size, module.stride, 0))
        padding, dilation = (0, _one(module.padding)), (1, _one(module.dilation))
        is_plain = not (module.ceil_mode or module.return_indices)
    else:
        return None
    return (lambda x: _cut(x, kernel, stride, padding, dilation)) if is_plain else None


def _cut(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Tensor:
    """(windows, elements), windows in the order (channel, row, column)."""
    image = x if x.dim() == 4 else x.unsqueeze(-2)
    padded = F.pad(image, (padding[1], padding[1], padding[0], padding[0]), value=-math.inf)
    columns = F.unfold(torch.where(torch.isfinite(padded), padded, -1e300), kernel, dilation, 0, stride)
    columns = columns.reshape(image.shape[1], math.prod(kernel), -1).transpose(1, 2)
    return torch.where(columns > -1e299, columns, -math.inf).reshape(-1, math.prod(kernel))


def _rises(source: Source) -> bool:
    """Whether the largest activation is that of the largest input, nearly."""
    grid = torch.linspace(-8.0, 8.0, 161, dtype=torch.float64).numpy()
    settings = {
        name: v.detach().double().reshape(-1, 1).numpy() if isinstance(v, Tensor) else v
        for name, v in source.parameters.items()
    }
    return bool((source.activation.derivative(grid, **settings) >= _FALLING).all())


def _largest(means: Tensor, deviations: Tensor, present: Tensor, source: Source | None) -> _Largest:
    """In pieces, as there is a number for each node of each element of each window."""
    size = max(1, _CHUNK // (_NODES * means.shape[1]))
    pieces = [
        _piece(means[rows], deviations[rows], present[rows], _curve(source, rows, len(means)))
        for rows in (slice(start, start + size) for start in range(0, len(means), size))
    ]
    return _Largest(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def _piece(
    means: Tensor, deviations: Tensor, present: Tensor, curve: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> _Largest:
    low = torch.where(present, means - 8 * deviations, math.inf).amin(1, keepdim=True)
    high = torch.where(present, means + 8 * deviations, -math.inf).amax(1, keepdim=True)
    nodes = low + (high - low) * torch.linspace(0, 1, _NODES, dtype=torch.float64)
    z = (nodes[:, None, :] - means[:, :, None]) / deviations[:, :, None]
    below = torch.where(present[:, :, None], 0.5 * torch.special.erfc(-z / math.sqrt(2)), 1.0)
    density = torch.where(present[:, :, None], torch.exp(-0.5 * z * z) / deviations[:, :, None], 0.0)
    weight = density * (below.prod(1, keepdim=True) / below.clamp(min=1e-300))
    chance = weight.sum(2)
    total = chance.sum(1, keepdim=True)
    of_largest = weight.sum(1) / total
    values, slopes = curve(nodes)
    own = chance.clamp(min=1e-300)
    return _Largest(
        chance / total,
        (of_largest * values).sum(1),
        (of_largest * values.square()).sum(1),
        (weight @ slopes[:, :, None])[..., 0] / own,
        (weight @ slopes.square()[:, :, None])[..., 0] / own,
    )


def _curve(source: Source | None, rows: slice, count: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """φ and φ′ at the nodes of some of the windows."""
    if source is None:
        return lambda nodes: (nodes, torch.ones_like(nodes))
    settings = {name: _per_window(value, rows, count) for name, value in source.parameters.items()}

    def of_nodes(nodes: Tensor) -> tuple[Tensor, Tensor]:
        u = nodes.numpy()
        both = (source.activation.phi(u, **settings), source.activation.derivative(u, **settings))
        values, slopes = (torch.from_numpy(v).expand(nodes.shape) for v in both)
        return values, slopes

    return of_nodes


def _per_window(value: Any, rows: slice, count: int) -> Any:
    """A parameter as a number, or that of each window's channel."""
    if not isinstance(value, Tensor):
        return value
    flat = value.detach().double().reshape(-1)
    return flat.repeat_interleave(count // flat.numel())[rows, None].numpy()


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _one(value: Any) -> int:
    return value if isinstance(value, int) else int(value[0])
