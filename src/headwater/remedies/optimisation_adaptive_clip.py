"""Adaptive gradient clipping: no unit's gradient is longer than a share λ of its weights.

A unit is what one output is made with, a row of a matrix or a filter. Unlike one limit for all, this one follows the
weights: what counts is by how much a step would change them. The last layer is left out, as in the source. Against
steps that are too long in some layers, in networks without normalisation most of all. Wrong where weights start at
zero (their limit is λ/1000, and they move slowly), and against a gradient that vanishes. Refused for L-BFGS. Costs one
pass over weights and gradients per step. Applied twice, the second takes the place of the first.

Default λ: 0.01, the source's for batches of 4,096; it finds larger ones to suit smaller batches.

Source: Brock, De, Smith, Simonyan 2021, arXiv:2102.06171, section 4.
"""

from dataclasses import dataclass

import torch
from torch import nn

from headwater.remedies.clipping import AdaptiveClip
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import ActBeforeUpdate, Attach
from headwater.remedies.order import Order, affine_layers
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


@dataclass(frozen=True)
class _Clip(ActBeforeUpdate):
    """In the place of an earlier one."""

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Refused where any clipping is."""
        Attach(AdaptiveClip, ([model.get_parameter(name) for name in self.weights], self.strength)).apply_to_optimizer(
            model, optimizer
        )

    def optimizer_lines(self) -> list[str]:
        """Attached, which takes an earlier one away."""
        *names, made = super().optimizer_lines()
        start, end = "optimizer.register_step_pre_hook(", ")"
        return [*names, f"{made.removeprefix(start).removesuffix(end)}.attach(optimizer)"]


def _plan(strength: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    layers = affine_layers(order)
    spared = {id(p) for name in layers[-1:] for p in model.get_submodule(name).parameters()}
    names = tuple(name for name, p in model.named_parameters() if p.requires_grad and id(p) not in spared)
    if not names:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no trained parameters before its last layer, which this clipping "
            "leaves out. optimisation.clip_norm takes them all."
        )
    return (_Clip(AdaptiveClip, names, strength),)


REMEDY = adjustable(
    "optimisation.adaptive_clip", Strength("λ, the norm of a unit's gradient over that of its weights", 0.01, _plan)
)
