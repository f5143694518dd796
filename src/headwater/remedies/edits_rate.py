"""The learning rate, scaled: part of a cure where the tuned rate is not the experiment's own."""

from dataclasses import dataclass

import torch
from torch import nn

from headwater.remedies.edits import Edit


@dataclass(frozen=True)
class ScaleRate(Edit):
    """Multiply the learning rate of every parameter group.

    Attributes:
        factor: By what.
    """

    factor: float

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Scale it; the groups of an optimizer without a learning rate stay as they are."""
        for group in optimizer.param_groups:
            if group.get("lr") is not None:
                group["lr"] = group["lr"] * self.factor

    def optimizer_lines(self) -> list[str]:
        """A loop over the groups."""
        return [
            "for group in optimizer.param_groups:",
            f'    group["lr"] = group["lr"] * {self.factor!r}  # the rate the repair was tuned to',
        ]


def scaled(factor: float) -> tuple[Edit, ...]:
    """The edit, none for a factor of 1: then not even rounding may differ."""
    return () if factor == 1.0 else (ScaleRate(factor),)
