"""Change what a network ends with."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from headwater.remedies.edits import Edit, set_everywhere
from headwater.remedies.order import Order


@dataclass(frozen=True)
class ReplaceHead(Edit):
    """Put another module in the place of the last activation; its name stays, and so do all others.

    Attributes:
        names: Every name the module goes by.
        kind: Class in ``torch.nn`` of the new one.
        dim: What it is made with, ``None`` for nothing.
    """

    names: tuple[str, ...]
    kind: str = "Identity"
    dim: int | None = None

    def apply(self, model: nn.Module) -> None:
        """It takes the old one's mode."""
        old = model.get_submodule(self.names[0])
        new: nn.Module = getattr(nn, self.kind)(**self._arguments)
        for name in self.names:
            model.set_submodule(name, new.train(old.training))

    def lines(self) -> list[str]:
        """One block."""
        arguments = ", ".join(f"{key}={value}" for key, value in self._arguments.items())
        return [
            f"head = nn.{self.kind}({arguments}).train(model.get_submodule({self.names[0]!r}).training)",
            *set_everywhere(self.names, "head"),
        ]

    def order_after(self, order: Order) -> Order:
        """No activation any more."""
        return tuple(
            replace(step, kind="other", activation=None, parameters=()) if step.module in self.names else step
            for step in order
        )

    @property
    def _arguments(self) -> dict[str, int]:
        return {} if self.dim is None else {"dim": self.dim}


def logits_of_softmax(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
    """Logarithms of probabilities, which are logits up to a number that is the same for all classes."""
    return output.clamp_min(torch.finfo(output.dtype).tiny).log()


def logits_of_sigmoid(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
    """What a sigmoid was taken of, up to the largest that a probability below 1 can stand for."""
    return torch.logit(output, eps=torch.finfo(output.dtype).eps)


UNDO = {"softmax": logits_of_softmax, "sigmoid": logits_of_sigmoid}


@dataclass(frozen=True)
class UndoAtTheEnd(Edit):
    """Let a network that ends in a softmax or sigmoid of its ``forward`` give the logits again.

    Attributes:
        kind: ``softmax`` or ``sigmoid``.
    """

    kind: str

    def apply(self, model: nn.Module) -> None:
        """By a hook: what stands in a forward stays as it is written."""
        model.register_forward_hook(UNDO[self.kind])

    def lines(self) -> list[str]:
        """One line."""
        return [f"model.register_forward_hook({UNDO[self.kind].__name__})"]

    def definitions(self) -> tuple[Any, ...]:
        """The hook."""
        return (UNDO[self.kind],)
