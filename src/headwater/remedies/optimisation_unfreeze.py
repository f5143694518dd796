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

from headwater.diagnosis.rules.not_updating import is_spread_evenly
from headwater.kernels.ledger import moments
from headwater.remedies.edits import wrapped
from headwater.remedies.edits_optimizer import HoldAll
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "optimisation.unfreeze"
FULL = 0.9  # of the way to the bound
FEWEST = 16  # weights
FAR = 4.0  # standard errors
EDGE = 1.15  # times the largest stretch of a random matrix


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
    """Spread evenly up to ±1/√inputs, or normally with no direction that stands out, round 0."""
    flat = weight.to(torch.float64).flatten()
    rms = float(flat.square().mean().sqrt())
    if flat.numel() < FEWEST or not rms or abs(float(flat.mean())) > FAR * rms / flat.numel() ** 0.5:
        return False
    return _is_even(weight, rms) or _is_normal(flat / rms, weight.shape[0])


def _is_even(weight: Tensor, rms: float) -> bool:
    """As PyTorch draws by default; of few weights the largest must come near the bound and keep to it."""
    bound, largest = weight[0].numel() ** -0.5, float(weight.abs().max())
    fills = FULL * bound < largest <= bound * (1 + torch.finfo(weight.dtype).eps)
    return is_spread_evenly(moments(weight)) or (fills and abs(rms * 3**0.5 / bound - 1) < 1 - FULL)


def _is_normal(unit: Tensor, rows: int) -> bool:
    """Neither tails that training makes nor a direction beyond the edge of random matrices (Marchenko and Pastur)."""
    columns = unit.numel() // rows
    tails = abs(float(unit.pow(4).mean()) - 3.0) < FAR * (24.0 / unit.numel()) ** 0.5
    return tails and float(torch.linalg.matrix_norm(unit.reshape(rows, columns), 2)) < EDGE * (rows**0.5 + columns**0.5)


REMEDY = Remedy(ID, _plan)
