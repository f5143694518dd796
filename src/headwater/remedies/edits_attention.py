"""Draw the projections of attention, which stand in the module's own parameters."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.edits_orthogonal import orthogonal


@dataclass(frozen=True)
class Projection:
    """A weight to draw.

    Attributes:
        name: Of the parameter.
        std: Root mean square of its entries.
        parts: How many layers stand in it one above the other.
    """

    name: str
    std: float
    parts: int = 1


@dataclass(frozen=True)
class DrawProjections(Edit):
    """Draw weights of attention anew, and set their biases to zero.

    Attributes:
        projections: In execution order.
        biases: Names of the parameters that become zero.
        seed: Seed of the generator that all of them draw from, in that order.
        orthogonal: Whether each layer in them is orthogonal; else they are normal.
    """

    projections: tuple[Projection, ...]
    biases: tuple[str, ...]
    seed: int
    orthogonal: bool = False

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The modules whose parameters they are."""
        return tuple(dict.fromkeys(projection.name.rpartition(".")[0] for projection in self.projections))

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same weights on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for planned in self.projections:
                weight = model.get_parameter(planned.name)
                if self.orthogonal:
                    weight.copy_(orthogonal(weight.shape, planned.std, generator, planned.parts))
                else:
                    weight.copy_(torch.empty(weight.shape).normal_(0.0, planned.std, generator=generator))
            for name in self.biases:
                model.get_parameter(name).zero_()

    def lines(self) -> list[str]:
        """A row for each weight."""
        drawn = (
            "orthogonal(weight.shape, std, generator, parts)"
            if self.orthogonal
            else "torch.empty(weight.shape).normal_(0.0, std, generator=generator)"
        )
        return [
            "# Projections of attention: each as a layer that no activation follows",
            "projections = [",
            *(f"    ({p.name!r}, {p.std!r}, {p.parts})," for p in self.projections),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for name, std, parts in projections:",
            "        weight = model.get_parameter(name)",
            f"        weight.copy_({drawn})",
            f"    for name in {wrapped(list(self.biases), indent=8)}:",
            "        model.get_parameter(name).zero_()",
        ]

    def definitions(self) -> tuple[Any, ...]:
        """The function that draws orthogonal weights, if they are."""
        return (orthogonal,) if self.orthogonal else ()
