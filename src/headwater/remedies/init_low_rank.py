"""A low-rank update whose factors are both zero has one of them drawn: what B·A begins with stays nothing.

The gradient of either factor is the other one times something, so that two zeros stay zeros for good. Of each pair the
factor that meets the input is drawn from N(0, 1/inputs); the other one stays zero, and the network begins as it was.
Applies to pairs of trained matrices of one module, all zero, of which one gives what the other takes: (r, inputs) and
(outputs, r), as ``lora_A`` and ``lora_B``. Layers and embeddings that begin at zero are other remedies' (init.he,
init.embedding). Wrong where an update is switched off on purpose. Costs nothing. Applied twice, there is nothing left
to draw.

Source: Hu et al. 2021, arXiv:2106.09685, section 4.1: a random Gaussian for A and zero for B.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "init.low_rank"


@dataclass(frozen=True)
class DrawFactors(Edit):
    """Draw some parameters from N(0, std²).

    Attributes:
        factors: Name and std of each, in the order of the modules.
        seed: Seed of the generator that all of them draw from, in that order.
    """

    factors: tuple[tuple[str, float], ...]
    seed: int

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The modules whose parameters they are."""
        return tuple(dict.fromkeys(name.rpartition(".")[0] for name, _ in self.factors))

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same weights on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for name, std in self.factors:
                factor = model.get_parameter(name)
                factor.copy_(torch.empty(factor.shape).normal_(0.0, std, generator=generator))

    def lines(self) -> list[str]:
        """A row for each factor."""
        return [
            "# Of two factors that are zero the one that meets the input, N(0, 1/inputs)",
            "factors = [",
            *(f"    ({name!r}, {std!r})," for name, std in self.factors),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for name, std in factors:",
            "        factor = model.get_parameter(name)",
            "        factor.copy_(torch.empty(factor.shape).normal_(0.0, std, generator=generator))",
        ]


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    factors = tuple(_first_of_pairs(model))
    if not factors:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} has no two matrices of one module, both trained and zero, of which one "
            "takes what the other gives. init.by_activation draws layers, init.embedding the vectors of embeddings."
        )
    return (DrawFactors(factors, seed + seeds.DRAWN_FACTORS),)


def _first_of_pairs(model: nn.Module) -> Iterator[tuple[str, float]]:
    for owner, module in model.named_modules():
        zero = [(name, p) for name, p in module._parameters.items() if p is not None and _is_zero(p)]
        taken: set[str] = set()
        for name, first in zero:
            others = [other for other, p in zero if other not in {name, *taken} and p.shape[1] == first.shape[0]]
            if name not in taken and others:
                taken |= {name, others[0]}
                yield f"{owner}.{name}".lstrip("."), float(first.shape[1] ** -0.5)


def _is_zero(parameter: Tensor) -> bool:
    plain = parameter.dim() == 2 and parameter.is_floating_point() and parameter.requires_grad
    return plain and not parameter.is_meta and not bool(parameter.detach().any())


REMEDY = Remedy(ID, _plan)
