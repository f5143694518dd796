"""Whether what a model answers has to do with what is asked of it: its loss when samples are given each other's inputs.

A permutation test. Where the loss is no better on true pairs of input and target than on exchanged ones, the model
knows how frequent the targets are and nothing more, however far the loss has fallen.

Source: Ojala and Garriga 2010, "Permutation tests for studying classifier performance", JMLR 11, test 1, with inputs
exchanged in place of labels and the model left as it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.measure import Loss
from headwater.probes.samples import inputs_and_targets
from headwater.probes.seen_through import SeenThrough
from headwater.probes.tree import mapped, own_copy, tensors
from headwater.records import Dependence

EXCHANGES = 6
MOST_BATCHES = 4
FEWEST_SAMPLES = 8


def dependence(model: nn.Module, batches: Sequence[Any], loss: Loss) -> Dependence | None:
    """How much worse the loss is when inputs are exchanged between the samples of a batch.

    Args:
        model: In eval mode, gradients off.
        batches: The first few are used.
        loss: ``loss(model, batch)``.

    Returns:
        ``None`` where that says nothing: without a tensor of labels or of targets shaped like the output that the model
        is not given itself, with too few samples, or where the loss never calls the model as a whole.
    """
    try:
        used = [batch for batch in batches[:MOST_BATCHES] if _has_targets_of_its_own(model, batch, loss)]
        return _exchanged(model, used, loss) if used else None
    except Exception:
        return None  # with the model itself the loss ran: that it does not with a stand-in says nothing about either


def _exchanged(model: nn.Module, used: Sequence[Any], loss: Loss) -> Dependence | None:
    generator = torch.Generator().manual_seed(0)
    true = math.fsum(float(loss(model, own_copy(batch))) for batch in used) / len(used)
    exchanged = [
        math.fsum(float(loss(_exchanging(model, generator), own_copy(batch))) for batch in used) / len(used)
        for _ in range(EXCHANGES)
    ]
    if not all(map(math.isfinite, (true, *exchanged))):
        return None
    return Dependence(true, statistics.fmean(exchanged), statistics.stdev(exchanged))


def _has_targets_of_its_own(model: nn.Module, batch: Any, loss: Loss) -> bool:
    inputs, targets = inputs_and_targets(model, batch, loss)
    if not inputs or len(inputs[0]) < FEWEST_SAMPLES:
        return False
    return any(not bool((tensor == tensor[:1]).all()) for tensor in targets)  # all alike fit exchanged inputs as well


def _exchanging(model: nn.Module, generator: torch.Generator) -> SeenThrough:
    """The model with the inputs of each call exchanged between its samples, all inputs alike."""

    def exchanged(values: list[Any]) -> list[Any]:
        samples = len(next(tensor for tensor in tensors(values) if tensor.dim()))
        order = torch.randperm(samples, generator=generator)

        def moved(tensor: Tensor) -> Tensor:
            alike = tensor.dim() > 0 and len(tensor) == samples
            return tensor[order.to(tensor.device)] if alike else tensor

        return [mapped(moved, value) for value in values]

    return SeenThrough(model, exchanged)
