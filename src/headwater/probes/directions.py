"""Whether a matrix prefers a direction, as one that has learnt something does and one that was only drawn does not."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from headwater.probes.names import clean, unwrapped
from headwater.records import ParameterFlow

MOST_ROWS = (
    256  # of either side: a part of a matrix of independent numbers is one too, and this much takes milliseconds
)
FEWEST_ROWS = 8  # of either side: below, the largest singular value says little


def strongest_direction(weight: Tensor) -> float | None:
    """The largest singular value over what independent numbers of the same rms give, σ(√m + √n).

    About 1 for a matrix as it was drawn, whatever distribution its numbers are from, less for an orthogonal one; beyond
    it for one that was trained. Measured on every frozen matrix of ``benchmarks/faults``: 0.87 to 1.05 drawn, 1.38 to
    1.67 trained for 150 steps.

    Args:
        weight: Two dimensions or more; the first is the units.

    Returns:
        ``None`` for a matrix that is too narrow, all zero, not finite, or not to be read.

    Source:
        Marchenko and Pastur 1967, the upper edge; Martin and Mahoney 2021, JMLR 22 (165), "random-like" against
        "bulk + spikes".
    """
    if weight.dim() < 2 or weight.is_meta or weight.is_sparse or not weight.is_floating_point():
        return None
    matrix = weight.detach().flatten(1)
    if min(matrix.shape) < FEWEST_ROWS:
        return None
    rows, columns = (max(1, size // MOST_ROWS) for size in matrix.shape)
    part = matrix[::rows, ::columns][:MOST_ROWS, :MOST_ROWS].to("cpu", torch.float64)
    rms = float(part.square().mean().sqrt())
    if not rms or not math.isfinite(rms):
        return None
    gram = part @ part.T if len(part) <= part.shape[1] else part.T @ part
    largest = math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[-1])))
    return largest / (rms * sum(math.sqrt(size) for size in part.shape))


def with_directions(flows: tuple[ParameterFlow, ...], model: nn.Module) -> tuple[ParameterFlow, ...]:
    """What was measured of parameters, with the strongest direction of those matrices that are frozen."""
    if all(flow.trainable for flow in flows):
        return flows
    known = {clean(name): parameter for name, parameter in unwrapped(model).named_parameters()}
    return tuple(flow if flow.trainable else _with_direction(flow, known.get(flow.name)) for flow in flows)


def _with_direction(flow: ParameterFlow, parameter: Tensor | None) -> ParameterFlow:
    return flow if parameter is None else replace(flow, strongest_direction=strongest_direction(parameter))
