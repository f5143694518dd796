"""Sets every bias to zero, as most initialisations do."""

from dataclasses import dataclass

import torch
from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "init.zero_bias"


@dataclass(frozen=True)
class ZeroBiases(Edit):
    """Sets the biases of these modules to zero; the lines are the same change as code."""

    names: tuple[str, ...]

    @property
    def redrawn(self) -> tuple[str, ...]:
        return self.names

    def apply(self, model: nn.Module) -> None:
        with torch.no_grad():
            for name in self.names:
                model.get_submodule(name).bias.zero_()

    def lines(self) -> list[str]:
        return [
            "with torch.no_grad():",
            f"    for name in {list(self.names)!r}:",
            "        model.get_submodule(name).bias.zero_()",
        ]


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    names = tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) and module.bias is not None
    )
    if not names:
        raise NotApplicableError(f"{ID}: no linear layer or convolution here has a bias.")
    return (ZeroBiases(names),)


REMEDY = Remedy(ID, _plan)
