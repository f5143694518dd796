"""Adam's ε below the gradients that vanish beneath it: 1 % of the smallest layer's usual gradient.

Adam divides each gradient by its own size plus ε, 1e-8 by default. Where gradients are smaller than that the division
ends, steps shrink with the gradient, and no learning rate suits all layers. The gradients of the first batches are
measured, before any step; a hundredth of the smallest parameter's rms becomes the largest ε of any group, and nothing
below 1e-16, since float32 cannot hold the square of a gradient much smaller than 1e-18. Only with parameters in
float32 and float64. Wrong where gradients are small because there is nothing left to learn, or are mostly noise: steps
get the full size of the rate all the same. It treats the loss of scale, not what takes the gradient. Costs nothing.

Source: Kingma and Ba 2015, arXiv:1412.6980, section 2.1 (steps do not depend on the gradient's scale as long as ε is
small beside it).
"""

import statistics

import torch
from torch import nn

from headwater.remedies.data import Data
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import LimitSetting
from headwater.remedies.gradients import gradients, rounded
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "optimisation.epsilon"
BELOW = 0.01
LEAST = 1e-16
USUAL = 1e-8  # torch's default


def _plan(model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    found = gradients(ID, model, data)
    if any(g.dtype not in (torch.float32, torch.float64) for g in found[0]):
        raise NotApplicableError(
            f"{ID}: {found[0][0].dtype} holds neither so small an ε nor the square of such a gradient. Keep the "
            "weights in float32 and compute in torch.autocast."
        )
    usual = [statistics.median(_rms(batch[index]) for batch in found) for index in range(len(found[0]))]
    smallest = min((rms for rms in usual if rms > 0.0), default=0.0)
    if BELOW * smallest >= USUAL or smallest == 0.0:
        raise NotApplicableError(
            f"{ID}: the smallest gradient of a parameter has rms {smallest:.3g}, beside which Adam's 1e-8 is nothing. "
            "optimisation.learning_rate changes the steps of all layers alike."
        )
    eps = max(rounded(BELOW * smallest), LEAST)
    return (LimitSetting("eps", eps, f"1 % of the smallest parameter's gradient, of rms {smallest:.6g}"),)


def _rms(gradient: torch.Tensor) -> float:
    return float(gradient.to_dense().to(torch.float64).square().mean().sqrt()) if gradient.numel() else 0.0


REMEDY = Remedy(ID, _plan, needs_data=True)
