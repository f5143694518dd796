"""The gradient's way back through the cuts, one vector-Jacobian product after the other, at any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from headwater.records import InputError
from headwater.tracing.cuts import Segment
from headwater.tracing.scaled import log10_norm, rescaled


@dataclass(frozen=True, eq=False)
class Gradient:
    """A gradient as ``tensor * 2**exponent``, so that one of 1e-400 is no zero."""

    tensor: Tensor
    exponent: int

    @property
    def log10_norm(self) -> float:
        return log10_norm(self.tensor, self.exponent)


def vjp(end: GradientEdge, start: GradientEdge, vector: Tensor, **options: bool) -> Tensor:
    """vectorᵀ · ∂end/∂start; the graph is kept.

    Raises:
        InputError: If an operation between them has no derivative.
    """
    try:
        found = torch.autograd.grad([end], [start], [vector], retain_graph=True, allow_unused=True, **options)[0]
    except (RuntimeError, NotImplementedError) as error:
        if "derivative" in str(error) or "not implemented" in str(error):
            raise InputError(
                f"the way back passes an operation without a derivative: {error}\n"
                "Replace it by one that autograd can differentiate, or trace the model up to it."
            ) from error
        raise
    assert found is not None, "the way leads through both"
    return found


def walk(root: GradientEdge, segments: list[Segment], like: Tensor) -> list[Gradient]:
    """The gradient where the last segment ends, then at the input of each, from the loss to the model's input.

    Args:
        root: The loss.
        segments: From the input to the loss.
        like: Any tensor of the loss's type and device.
    """
    here = torch.ones((), dtype=like.dtype, device=like.device)
    last = segments[-1].end
    if last.node is not root.node:  # reshaped on its way out
        here = vjp(root, last, here)
    gradients = [Gradient(here.reshape(segments[-1].operation.shape), 0)]
    for segment in reversed(segments):
        before = gradients[-1]
        tensor, exponent = rescaled(vjp(segment.end, segment.start, before.tensor))
        gradients.append(Gradient(tensor, before.exponent + exponent))
    return gradients
