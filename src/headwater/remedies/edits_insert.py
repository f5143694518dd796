"""Put new modules beside those that are there."""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from torch import nn

from headwater.records import SiteKind
from headwater.remedies.edits import Edit, set_everywhere, weight_like, wrapped
from headwater.remedies.order import Order, Step


@dataclass(frozen=True)
class Beside:
    """A module to put beside an activation.

    Attributes:
        names: Every name the activation goes by.
        kind: Class in ``torch.nn``.
        arguments: What the class is made with.
        like: Name of the layer whose device and dtype it takes; ``""`` where all of the model's are alike.
    """

    names: tuple[str, ...]
    kind: str
    arguments: tuple[Any, ...]
    like: str = ""

    @property
    def constructor(self) -> str:
        """Python code that makes the module; parameters of its own go where the neighbour's are."""
        code = f"nn.{self.kind}({', '.join(map(repr, self.arguments))})"
        if not any(True for _ in self._new().parameters()):
            return code
        return f"{code}.to({weight_like(self.like)})"

    def make(self, model: nn.Module) -> nn.Module:
        """The module, for this model."""
        return self._new().to(next(model.get_submodule(self.like).parameters()))

    def _new(self) -> nn.Module:
        module: nn.Module = getattr(nn, self.kind)(*self.arguments)
        return module


@dataclass(frozen=True)
class InsertBeside(Edit):
    """Put a module right before or right after some activations, in an ``nn.Sequential`` that takes their place.

    So no other module's name changes, and any ``forward`` that calls the activation calls both.

    Attributes:
        places: What goes where.
        side: On which side of the activation.
        site: What sort of operation the modules are.
    """

    places: tuple[Beside, ...]
    side: Literal["before", "after"]
    site: SiteKind

    @property
    def renames(self) -> bool:
        """The activation's name grows by its place in the pair."""
        return True

    def apply(self, model: nn.Module) -> None:
        """New modules go where the model's weights are and take the mode of the activation."""
        for place in self.places:
            activation = model.get_submodule(place.names[0])
            new = place.make(model)
            pair = nn.Sequential(new, activation) if self.side == "before" else nn.Sequential(activation, new)
            for name in place.names:
                model.set_submodule(name, pair.train(activation.training))

    def lines(self) -> list[str]:
        """A loop over the activations beside which the same is put."""
        lines = []
        for (constructor, several), run in groupby(self.places, key=lambda p: (p.constructor, len(p.names) > 1)):
            made = [
                "activation = model.get_submodule({})",
                f"new = {constructor}",
                f"pair = nn.Sequential({'new, activation' if self.side == 'before' else 'activation, new'})",
                "pair.train(activation.training)",
            ]
            if several:
                for place in run:
                    lines += [made[0].format(repr(place.names[0])), *made[1:], *set_everywhere(place.names, "pair")]
                continue
            lines.append(f"for name in {wrapped([place.names[0] for place in run], indent=4)}:")
            lines += [f"    {line}" for line in (made[0].format("name"), *made[1:], "model.set_submodule(name, pair)")]
        return lines

    def order_after(self, order: Order) -> Order:
        """Each activation is two steps now."""
        names = {name for place in self.places for name in place.names}
        steps: list[Step] = []
        for step in order:
            if step.module not in names or step.activation is None or step.functional:
                steps.append(step)
                continue
            pair = [Step("", self.site, shape=step.shape), step]
            if self.side == "after":
                pair.reverse()
            steps += [replace(part, module=f"{step.module}.{index}") for index, part in enumerate(pair)]
        return tuple(steps)


@dataclass(frozen=True)
class DropBiases(Edit):
    """Take the biases off some layers.

    Attributes:
        layers: Their names.
    """

    layers: tuple[str, ...]

    def apply(self, model: nn.Module) -> None:
        """A layer without a bias has ``None`` in its place."""
        for name in self.layers:
            model.get_submodule(name).register_parameter("bias", None)

    def lines(self) -> list[str]:
        """One loop."""
        return [
            f"for name in {wrapped(list(self.layers), indent=4)}:",
            '    model.get_submodule(name).register_parameter("bias", None)',
        ]


@dataclass(frozen=True)
class AppendActivation(Edit):
    """Put an activation behind everything a chain of ``nn.Sequential`` does.

    Attributes:
        kind: Class in ``torch.nn``.
        activation: Its id.
    """

    kind: str
    activation: str

    def apply(self, model: nn.Module) -> None:
        """It becomes the last module of the outermost chain."""
        assert isinstance(model, nn.Sequential)
        model.append(getattr(nn, self.kind)().train(model.training))

    def lines(self) -> list[str]:
        """One line."""
        return [f"model.append(nn.{self.kind}().train(model.training))"]

    def order_after(self, order: Order) -> Order:
        """One more step; nothing that is planned later asks for its name."""
        return (*order, Step("", "activation", self.activation))
