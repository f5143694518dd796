"""Gradients of the first batches, for remedies that set a number by them."""

import math
import statistics

import torch
from torch import Tensor, nn

from headwater.probes.measure import checked_loss
from headwater.probes.preserve import leaves_under, strangers_kept
from headwater.remedies.data import Data
from headwater.remedies.remedy import NotApplicableError


def gradients(remedy_id: str, model: nn.Module, data: Data) -> list[list[Tensor]]:
    """Of each batch, the gradients of those parameters that get one; the weights stay as they are.

    Args:
        remedy_id: For messages.
        model: A copy, whose ``.grad`` and buffers are written to.
        data: Batches and loss.

    Raises:
        NotApplicableError: If none gets one, or one is not finite.
    """
    found = []
    for batch in data.batches:
        model.zero_grad()
        value = checked_loss(model, batch, data.loss)
        with strangers_kept(model) as strangers:
            strangers.keep(leaves_under(value))
            value.backward()
        found.append([p.grad.detach().clone() for p in model.parameters() if p.grad is not None])
    if not all(found):
        raise NotApplicableError(
            f"{remedy_id}: the loss gives the parameters of {type(model).__name__} no gradient. It must be computed "
            "from the model it is given: loss=lambda model, batch: ..."
        )
    if not all(math.isfinite(norm(each)) for each in found):
        raise NotApplicableError(
            f"{remedy_id}: a gradient of the untrained network is NaN or Inf, so there is nothing to measure a usual "
            "one by. Mend the scale of the weights first: init.he, or data.standardise for inputs out of scale."
        )
    return found


def norm(tensors: list[Tensor]) -> float:
    """ℓ₂ of all of them together, in float64."""
    return math.sqrt(sum(float(t.to_dense().to(torch.float64).square().sum()) for t in tensors))


def rounded(number: float) -> float:
    """To six digits, which is more than a measurement on a few batches is worth."""
    return float(f"{number:.6g}")


def median_norm(batches: list[list[Tensor]]) -> float:
    """The usual norm of a batch's gradient."""
    return statistics.median(norm(each) for each in batches)
