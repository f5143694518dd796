"""What changes how a model is optimised and leaves the model as it is."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headwater.records import InputError
from headwater.remedies.before_update import BeforeUpdate
from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.scaled_rate import ScaledRate
from headwater.remedies.whole_model import hold_all


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


@dataclass(frozen=True)
class Attach(Edit):
    """Let something act on every step of the optimizer, in the place of one of its kind.

    Attributes:
        action: A :class:`BeforeUpdate` with ``attach``.
        arguments: What it is made with.
        needs: Key of the optimizer's groups without which it can do nothing.
        comment: Where the numbers come from.
    """

    action: type[BeforeUpdate]
    arguments: tuple[Any, ...]
    needs: str = "params"
    comment: str = ""

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Hook it to the optimizer.

        Raises:
            NotApplicableError: If the optimizer has nothing that it could act on.
        """
        _refuse_without(optimizer, self.needs)
        if self.needs == "params" and isinstance(optimizer, torch.optim.LBFGS):
            raise NotApplicableError(
                "L-BFGS compares gradients within a step to learn the curvature, and a clipped one would tell it a "
                'wrong one. Shorten its steps: torch.optim.LBFGS(..., line_search_fn="strong_wolfe").'
            )
        self.action(*self.arguments).attach(optimizer)

    def optimizer_lines(self) -> list[str]:
        """The hook, made and attached."""
        made = f"{self.action.__name__}({', '.join(map(repr, self.arguments))}).attach(optimizer)"
        return [f"# {self.comment}", made] if self.comment else [made]

    def definitions(self) -> tuple[Any, ...]:
        """The action's class and those it comes from."""
        return tuple(base for base in reversed(self.action.__mro__) if base is not object)


@dataclass(frozen=True)
class RateTo(Edit):
    """Let the optimizer step with this learning rate; groups keep their rates beside each other.

    Attributes:
        rate: Of the group with the largest rate.
        comment: Where it comes from.
        only: Key of the groups by which an optimizer is known for which the rate is meant.
    """

    rate: float
    comment: str = ""
    only: str = "lr"

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Hook it to the optimizer.

        Raises:
            NotApplicableError: If the optimizer has no learning rate, or the rate is meant for another kind.
        """
        _refuse_without(optimizer, self.only)
        largest = max(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups)
        if not largest > 0:
            raise NotApplicableError(f"the learning rate of {type(optimizer).__name__} is {largest}: set it there.")
        ScaledRate(self.rate / float(largest)).attach(optimizer)

    def optimizer_lines(self) -> list[str]:
        """The hook with its factor."""
        lines = [f"# {self.comment}"] if self.comment else []
        return [
            *lines,
            'largest = max(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups)',
            f"ScaledRate({self.rate!r} / float(largest)).attach(optimizer)",
        ]

    def definitions(self) -> tuple[Any, ...]:
        """The hook's class and its base."""
        return BeforeUpdate, ScaledRate


@dataclass(frozen=True)
class LimitSetting(Edit):
    """Bring a number among the optimizer's settings down to a limit in every group where it is above.

    Attributes:
        name: Key of the groups.
        limit: What is left at most.
        comment: Where it comes from.
    """

    name: str
    limit: float
    comment: str = ""

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Set it where it is too large.

        Raises:
            NotApplicableError: If it is nowhere above the limit, or the optimizer has no such setting.
        """
        _refuse_without(optimizer, self.name)
        largest = max(group[self.name] for group in optimizer.param_groups)
        if not largest > self.limit:
            raise NotApplicableError(
                f"{self.name} of {type(optimizer).__name__} is {largest:g} and not above {self.limit:g}: there is "
                "nothing to bring down."
            )
        for group in optimizer.param_groups:
            group[self.name] = min(group[self.name], self.limit)

    def optimizer_lines(self) -> list[str]:
        """One loop."""
        lines = [f"# {self.comment}"] if self.comment else []
        return [
            *lines,
            "for group in optimizer.param_groups:",
            f'    group["{self.name}"] = min(group["{self.name}"], {self.limit!r})',
        ]


@dataclass(frozen=True)
class HoldAll(Edit):
    """Let the optimizer hold all that is trained of the model, and nothing of others.

    Attributes:
        strict: Whether it is an error if it does so already.
    """

    strict: bool = True

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Re-bind it.

        Raises:
            NotApplicableError: If it holds just these.
        """
        own = {id(parameter) for parameter in model.parameters()}
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if self.strict and trained <= held <= own:
            raise NotApplicableError(
                f"{type(optimizer).__name__} holds every trained parameter of the model and nothing else. If weights "
                "still stand still, hw.check(experiment, steps=20) tells why."
            )
        hold_all(model, optimizer)

    def optimizer_lines(self) -> list[str]:
        """One call."""
        return ["hold_all(model, optimizer)"]

    def definitions(self) -> tuple[Any, ...]:
        """The function."""
        return (hold_all,)


def _refuse_without(optimizer: torch.optim.Optimizer, name: str) -> None:
    if all(name in group for group in optimizer.param_groups):
        return
    has = ", ".join(key for key in optimizer.param_groups[0] if key != "params")
    raise NotApplicableError(f"{type(optimizer).__name__} has no {name}; its settings are {has}.")


def actions_of(optimizer: torch.optim.Optimizer) -> list[Any]:
    """What we, or a patch of ours, let act before an optimizer's updates; a copy of it has lost its hooks."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
    return [hook for hook in hooks if any(base.__name__ == BeforeUpdate.__name__ for base in type(hook).__mro__)]
