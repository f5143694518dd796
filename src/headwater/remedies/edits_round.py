"""Put shortcuts round whole modules, whatever they do inside."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.edits_shortcut import moved
from headwater.remedies.order import Order, Step
from headwater.remedies.shortcut import Join, ShortcutRound, put_shortcut_round


@dataclass(frozen=True)
class Whole:
    """A module that gives what it takes in shape.

    Attributes:
        names: Every name it goes by.
        norm: Class in ``torch.nn`` of a normalisation before it; ``""`` for none.
        arguments: What that is made with.
        like: Name of a parameter whose device and dtype the normalisation takes.
    """

    names: tuple[str, ...]
    norm: str
    arguments: tuple[int, ...]
    like: str

    def new_norm(self, model: nn.Module) -> nn.Module:
        """The normalisation; the identity for none."""
        if not self.norm:
            return nn.Identity()
        norm: nn.Module = getattr(nn, self.norm)(*self.arguments)
        return norm.to(model.get_parameter(self.like))

    @property
    def code(self) -> str:
        """Code for the normalisation."""
        if not self.norm:
            return "nn.Identity()"
        arguments = ", ".join(map(repr, self.arguments))
        return f"nn.{self.norm}({arguments}).to(model.get_parameter({self.like!r}))"


@dataclass(frozen=True)
class ShortcutsRound(Edit):
    """Put a shortcut round each of some modules.

    Attributes:
        blocks: In execution order.
    """

    blocks: tuple[Whole, ...]

    @property
    def renames(self) -> bool:
        """What is inside stands one level further down."""
        return True

    def apply(self, model: nn.Module) -> None:
        """All normalisations are made before names change."""
        made = [(block, block.new_norm(model)) for block in self.blocks]
        for block, norm in made:
            put_shortcut_round(model, block.names, norm, Join())

    def lines(self) -> list[str]:
        """A line for each."""
        return [
            f"put_shortcut_round(model, {wrapped(list(block.names), indent=4)}, {block.code}, Join())"
            for block in self.blocks
        ]

    def definitions(self) -> tuple[Any, ...]:
        """The modules, and what puts them there."""
        return (Join, ShortcutRound, put_shortcut_round)

    def order_after(self, order: Order) -> Order:
        """Each block begins with its normalisation and ends in a join; its parts have other names."""
        renamed = {name: f"{name}.block" for block in self.blocks for name in block.names}
        steps: list[Step] = []
        inside = ""
        for step in order:
            own = next((name for name in renamed if is_part(step.module, name)), "")
            if inside and own != inside:
                steps.append(Step(f"{inside}.join", "join", functional=True))
            if own and own != inside and self._normed(own):
                steps.append(Step(f"{own}.norm", "normalization"))
            inside = own
            steps.append(moved(step, renamed))
        if inside:
            steps.append(Step(f"{inside}.join", "join", functional=True))
        return tuple(steps)

    def _normed(self, name: str) -> bool:
        return any(block.norm for block in self.blocks if name in block.names)


def is_part(name: str, of: str) -> bool:
    """Whether a module is another one, or stands in it."""
    return name == of or name.startswith(f"{of}.")
