"""Put activations whose input and output are stretched and moved in place of plain ones."""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import nn

from headwater.remedies.edits import Edit, set_everywhere, wrapped
from headwater.remedies.order import Order
from headwater.remedies.tailored_activation import Tailored


@dataclass(frozen=True)
class TailoredPlace:
    """An activation to tailor.

    Attributes:
        names: Every name it goes by.
        numbers: α, β, γ, δ of :class:`Tailored`.
    """

    names: tuple[str, ...]
    numbers: tuple[float, float, float, float]


@dataclass(frozen=True)
class TailorActivations(Edit):
    """Let each of some activations φ compute γ·(φ(α·x + β) + δ).

    Attributes:
        places: Which, and how.
    """

    places: tuple[TailoredPlace, ...]

    @property
    def renames(self) -> bool:
        """The activation goes on inside the new module."""
        return True

    def apply(self, model: nn.Module) -> None:
        """Each activation moves into a module of its own."""
        for place in self.places:
            activation = model.get_submodule(place.names[0])
            tailored = Tailored(activation, *place.numbers).train(activation.training)
            for name in place.names:
                model.set_submodule(name, tailored)

    def lines(self) -> list[str]:
        """A loop over the activations that are tailored alike."""
        lines = []
        for (numbers, several), run in groupby(self.places, key=lambda place: (place.numbers, len(place.names) > 1)):
            alpha, beta, gamma, delta = numbers
            lines += [f"alpha, beta = {alpha!r}, {beta!r}", f"gamma, delta = {gamma!r}, {delta!r}"]
            made = [
                "activation = model.get_submodule({})",
                "tailored = Tailored(activation, alpha, beta, gamma, delta).train(activation.training)",
            ]
            if several:
                for place in run:
                    lines += [made[0].format(repr(place.names[0])), made[1], *set_everywhere(place.names, "tailored")]
                continue
            lines.append(f"for name in {wrapped([place.names[0] for place in run], indent=4)}:")
            lines += [
                f"    {line}" for line in (made[0].format("name"), made[1], "model.set_submodule(name, tailored)")
            ]
        return lines

    def definitions(self) -> tuple[Any, ...]:
        """The module."""
        return (Tailored,)

    def order_after(self, order: Order) -> Order:
        """What a tailored activation computes is no plain one: it keeps a signal's scale without help."""
        names = {name for place in self.places for name in place.names}
        return tuple(
            replace(step, kind="other", activation=None, parameters=())
            if step.module in names and step.activation is not None and not step.functional
            else step
            for step in order
        )
