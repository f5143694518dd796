"""Weights that were frozen before anything had been learnt are trained again.

``requires_grad`` comes back for modules whose weights are still as an initialiser draws them, evenly or normally round
zero and with no direction that stands out, which no training leaves; the optimizer is given them if it does not hold
them. What looks trained stays frozen. Wrong where random weights are frozen on purpose (random features, echo state
networks, a base that only adapters are to train). Costs the backward pass and the optimizer's state of what is trained
now. Applied twice, there is nothing left to change.

Source: PyTorch, ``torch.nn.Linear``: weights are drawn evenly from ±1/√inputs; the criterion is that of the symptom
``not_updating`` (docs/thresholds.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.diagnosis.fresh import is_drawn
from headwater.kernels.ledger import moments
from headwater.probes.directions import strongest_direction
from headwater.records import ParameterFlow
from headwater.remedies.edits import wrapped
from headwater.remedies.edits_optimizer import HoldAll
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "optimisation.unfreeze"
FULL = 0.9  # of the way to the bound
FEWEST = 16  # weights


@dataclass(frozen=True)
class Unfreeze(HoldAll):
    """Train some parameters again.

    Attributes:
        names: Of the parameters.
    """

    strict: bool = False
    names: tuple[str, ...] = ()

    def apply(self, model: nn.Module) -> None:
        """Let them have gradients."""
        for name in self.names:
            model.get_parameter(name).requires_grad_(True)

    def lines(self) -> list[str]:
        """One loop."""
        return [
            f"for name in {wrapped(list(self.names), indent=4)}:",
            "    model.get_parameter(name).requires_grad_(True)",
        ]


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Unfreeze, ...]:
    frozen = [(name, p) for name, p in model.named_parameters() if not p.requires_grad and p.is_floating_point()]
    if not frozen:
        raise NotApplicableError(
            f"{ID}: no parameter of {type(model).__name__} is frozen. If the optimizer leaves some where they are, "
            "optimisation.rebind makes it hold them."
        )
    fresh = {name.rpartition(".")[0] for name, p in frozen if p.dim() > 1 and _is_as_drawn(p.detach())}
    names = tuple(name for name, _ in frozen if name.rpartition(".")[0] in fresh)
    if not names:
        raise NotApplicableError(
            f"{ID}: what is frozen does not look as it was drawn; {frozen[0][0]!r} has been trained, or drawn on "
            f"purpose. To train it all the same: model.get_parameter({frozen[0][0]!r}).requires_grad_(True)."
        )
    return (Unfreeze(names=names),)


def _is_as_drawn(weight: Tensor) -> bool:
    """By the marks of the rule; few weights have to keep to ±1/√inputs and reach it, as training never leaves them."""
    drawn = ParameterFlow(
        name="",
        aliases=(),
        shape=tuple(weight.shape),
        dtype=str(weight.dtype),
        trainable=False,
        value=moments(weight),
        strongest_direction=strongest_direction(weight),
    )
    bound = weight[0].numel() ** -0.5
    largest, rms = float(weight.abs().max()), float(weight.to(torch.float64).square().mean().sqrt())
    fills = FULL * bound < largest <= bound * (1 + torch.finfo(weight.dtype).eps)
    even = abs(rms * 3**0.5 / bound - 1) < 1 - FULL
    return is_drawn(drawn) or (weight.numel() >= FEWEST and fills and even)


REMEDY = Remedy(ID, _plan)
