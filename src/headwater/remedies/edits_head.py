"""Change what a network ends with."""

from dataclasses import dataclass, replace

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
