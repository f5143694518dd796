"""What the Jacobian of one operation does to gradients: its Frobenius gain and its largest singular value.

J = ∂output/∂input is never larger than it has to be: a diagonal one needs a single vector-Jacobian product; a small one
is made row by row; of a large one the norm is estimated from random vectors (Hutchinson: E‖Jᵀv‖² = ‖J‖_F² for v of
independent signs) and the largest singular value is approached from below by power iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from headwater.records import Message
from headwater.records.trace import JacobianMethod
from headwater.tracing.backward import vjp

# Rows times the work of one vector-Jacobian product: about a second of one core's multiplications in float64.
MOST_WORK = 2**32
MOST_ELEMENTS = 4096 * 4096  # of one sample's J
VECTORS = 16
POWER_STEPS = 12
_GROWS = 1e-3  # relative; a round that adds less is the last
SAMPLES_FOR_LARGEST = 8
_CHUNK = 2**22  # numbers held at once per group of rows
_SAME = {torch.float64: 1e-12}  # relative; in other types rounding alone leaves 1e-5


@dataclass(frozen=True)
class Jacobian:
    """What was found of J; see :class:`headwater.records.LayerGain`."""

    method: JacobianMethod
    gain: float | None = None
    gain_error: float | None = None
    vectors: int = 0
    largest: float | None = None
    largest_is_bound: bool = False
    note: Message | None = None


def jacobian(
    end: GradientEdge, start: GradientEdge, output: Tensor, samples: int, generator: torch.Generator
) -> Jacobian:
    """The gains of J = ∂end/∂start, over all samples of the batch.

    Args:
        end: Where the operation's output stands in the graph.
        start: Where its input stands.
        output: A tensor like the output: its shape, type and device.
        samples: Size of the batch's first dimension.
        generator: Draws the random vectors.
    """
    signs = _signs(output, generator)
    back = vjp(end, start, signs)
    batched = samples > 1 and output.dim() > 1 and output.shape[0] == samples == (back.shape[0] if back.dim() else 0)
    rows = output.numel() // samples if batched else output.numel()
    if output.shape == back.shape:
        diagonal = vjp(end, start, torch.ones_like(output))
        if torch.allclose(back * signs, diagonal, rtol=_SAME.get(output.dtype, 1e-5), atol=0):
            return _diagonal(diagonal)
    if batched and not _keeps_samples_apart(end, start, signs):
        note = Message("trace.note.samples_mixed")
        return _estimated(end, start, output, generator, note)
    columns = back.numel() // samples if batched else back.numel()
    if rows * columns <= MOST_ELEMENTS and rows * rows * columns * (samples if batched else 1) <= MOST_WORK:
        return _exact(end, start, output, rows, samples if batched else 1)
    return _estimated(end, start, output, generator, None)


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent signs: of all distributions with E[vvᵀ] = 1 the one with the least variance."""
    drawn = torch.randint(0, 2, like.shape, generator=generator).to(dtype=like.dtype, device=like.device)
    return drawn * 2 - 1


def _diagonal(diagonal: Tensor) -> Jacobian:
    return Jacobian("diagonal", gain=float(diagonal.square().mean().sqrt()), largest=float(diagonal.abs().max()))


def _keeps_samples_apart(end: GradientEdge, start: GradientEdge, signs: Tensor) -> bool:
    """Whether the gradient of the first sample's output stays with the first sample."""
    first = signs.clone()
    first[1:] = 0
    return not bool(vjp(end, start, first)[1:].any())


def _exact(end: GradientEdge, start: GradientEdge, output: Tensor, rows: int, samples: int) -> Jacobian:
    """Every row: one unit vector shared by all samples gives a row of each sample's J at once."""
    found = _rows(end, start, output, rows, samples)  # (rows, samples, columns)
    energy = found.square().sum(dim=(0, 2))
    gain = math.sqrt(float(energy.mean()) / rows)
    each = found.transpose(0, 1)
    if bool((each == each[:1]).all()):
        each = each[:1]
    looked_at = each[torch.argsort(energy[: each.shape[0]], descending=True)[:SAMPLES_FOR_LARGEST]]
    largest = max((_largest_exactly(one) for one in looked_at), default=0.0)
    return Jacobian("exact", gain=gain, largest=largest, largest_is_bound=each.shape[0] > looked_at.shape[0])


def _largest_exactly(matrix: Tensor) -> float:
    """The largest singular value, from the smaller of JJᵀ and JᵀJ: much cheaper than all singular vectors."""
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return math.sqrt(max(float(torch.linalg.eigvalsh(product)[-1]), 0.0)) if product.numel() else 0.0


def _rows(end: GradientEdge, start: GradientEdge, output: Tensor, rows: int, samples: int) -> Tensor:
    chunk = max(1, min(rows, _CHUNK // max(output.numel(), 1)))
    parts = []
    for first in range(0, rows, chunk):
        count = min(chunk, rows - first)
        units = torch.zeros(count, samples, rows, dtype=output.dtype, device=output.device)
        units[torch.arange(count), :, torch.arange(first, first + count)] = 1
        units = units.reshape(count, *output.shape)
        parts.append(_batched(end, start, units).reshape(count, samples, -1))
    return torch.cat(parts)


def _batched(end: GradientEdge, start: GradientEdge, vectors: Tensor) -> Tensor:
    try:
        return vjp(end, start, vectors, is_grads_batched=True)
    except RuntimeError:  # an operation that cannot be batched
        return torch.stack([vjp(end, start, vector) for vector in vectors])


def _estimated(
    end: GradientEdge,
    start: GradientEdge,
    output: Tensor,
    generator: torch.Generator,
    note: Message | None,
) -> Jacobian:
    energies = [float(vjp(end, start, _signs(output, generator)).square().sum()) for _ in range(VECTORS)]
    mean = sum(energies) / VECTORS
    spread = math.sqrt(sum((energy - mean) ** 2 for energy in energies) / (VECTORS - 1) / VECTORS)
    gain = math.sqrt(mean / output.numel())
    error = spread / mean * gain / 2 if mean else 0.0  # of a square root
    largest = _largest(end, start, output, generator)
    unknown = Message("trace.note.no_double_backward") if largest is None else None
    return Jacobian("estimate", gain, error, VECTORS, largest, True, note or unknown)


def _largest(end: GradientEdge, start: GradientEdge, output: Tensor, generator: torch.Generator) -> float | None:
    """Power iteration on JJᵀ: each round gives ‖Jᵀv‖ for a unit v, which the largest singular value is never below.

    J v comes from differentiating Jᵀu by u.
    """
    try:
        u = _signs(output, generator).requires_grad_()
        back = torch.autograd.grad([end], [start], [u], create_graph=True, retain_graph=True)[0]
        if not back.requires_grad:
            return None
        vector = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        largest = 0.0
        for _ in range(POWER_STEPS):
            vector = vector / vector.norm()
            row = vjp(end, start, vector)
            before, largest = largest, max(largest, float(row.norm()))
            if largest <= before * (1 + _GROWS):
                break
            vector = torch.autograd.grad([back], [u], [row], retain_graph=True)[0]
            if not bool(vector.any()):
                return largest
        return largest
    except RuntimeError:  # an operation whose backward has no derivative
        return None
