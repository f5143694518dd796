"""What changes how a model is optimised and leaves the model as it is."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headwater.records import InputError
from headwater.remedies.before_update import BeforeUpdate
from headwater.remedies.edits import Edit, wrapped


@dataclass(frozen=True)
class ActBeforeUpdate(Edit):
    """Let something act on some weights before each update.

    Attributes:
        action: A :class:`BeforeUpdate`.
        weights: Names of the parameters it acts on.
        strength: How strongly.
        arguments: What else it is made with.
    """

    action: type[BeforeUpdate]
    weights: tuple[str, ...]
    strength: float
    arguments: tuple[tuple[str, Any], ...] = ()

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Hook it to the optimizer.

        Raises:
            InputError: If the optimizer moves none of the weights.
        """
        hook = self.action([model.get_parameter(name) for name in self.weights], self.strength, **dict(self.arguments))
        if not hook.held(optimizer):
            raise InputError(
                f"{type(optimizer).__name__} moves none of the weights that are to be regularised, such as "
                f"{self.weights[0]!r}: make it over the model's parameters."
            )
        optimizer.register_step_pre_hook(hook)

    def optimizer_lines(self) -> list[str]:
        """The hook, made and registered."""
        arguments = ", ".join(
            ["weights", repr(self.strength), *(f"{name}={value!r}" for name, value in self.arguments)]
        )
        return [
            f"names = {wrapped(list(self.weights), indent=4)}",
            "weights = [model.get_parameter(name) for name in names]",
            f"optimizer.register_step_pre_hook({self.action.__name__}({arguments}))",
        ]

    def definitions(self) -> tuple[Any, ...]:
        """The action's class and its base."""
        return (BeforeUpdate, self.action)


def actions_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    """What we, or a patch of ours, let act before an optimizer's updates; a copy of it has lost its hooks."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
    return [hook for hook in hooks if any(base.__name__ == BeforeUpdate.__name__ for base in type(hook).__mro__)]
