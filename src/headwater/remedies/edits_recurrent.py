"""Changes to the weights of recurrent layers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.forget_gates import draw_orthogonal_gates, open_forget_gates


def recurrent_layers(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[str, ...]:
    """Names of the trained recurrent layers of some kinds; weights that a parametrisation computes are left alone."""
    return tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, kinds)
        and all(parameter.requires_grad for parameter in module.parameters(recurse=False))
        and not any("parametrizations" in inner for inner, _ in module.named_parameters())
    )


@dataclass(frozen=True)
class OpenForgetGates(Edit):
    """Set the bias of the forget gates of LSTMs.

    Attributes:
        layers: Their names.
        bias: Of both biases together.
    """

    layers: tuple[str, ...]
    bias: float

    def apply(self, model: nn.Module) -> None:
        """In place."""
        for name in self.layers:
            open_forget_gates(model.get_submodule(name), self.bias)

    def lines(self) -> list[str]:
        """One loop."""
        return [
            f"for name in {wrapped(list(self.layers), indent=4)}:",
            f"    open_forget_gates(model.get_submodule(name), {self.bias!r})",
        ]

    def definitions(self) -> tuple[Callable[..., Any], ...]:
        """The function."""
        return (open_forget_gates,)


@dataclass(frozen=True)
class DrawOrthogonalGates(Edit):
    """Draw the weights from state to state anew, orthogonal gate by gate.

    Attributes:
        layers: Names of the layers.
        seed: Of the generator that all of them draw from, in that order.
    """

    layers: tuple[str, ...]
    seed: int

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The layers."""
        return self.layers

    def apply(self, model: nn.Module) -> None:
        """In place."""
        generator = torch.Generator().manual_seed(self.seed)
        for name in self.layers:
            draw_orthogonal_gates(model.get_submodule(name), generator)

    def lines(self) -> list[str]:
        """One loop."""
        return [
            f"generator = torch.Generator().manual_seed({self.seed})",
            f"for name in {wrapped(list(self.layers), indent=4)}:",
            "    draw_orthogonal_gates(model.get_submodule(name), generator)",
        ]

    def definitions(self) -> tuple[Callable[..., Any], ...]:
        """The function."""
        return (draw_orthogonal_gates,)
