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
    """A module to put beside another.

    Attributes:
        names: Every name the other one goes by.
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
    """Put a module right before or right after some others, in an ``nn.Sequential`` that takes their place.

    So no other module's name changes, and any ``forward`` that calls what was there calls both.

    Attributes:
        places: What goes where.
        side: On which side of what is there.
        site: What sort of operation the new modules are.
        activation: Id of the activation, if they are one.
    """

    places: tuple[Beside, ...]
    side: Literal["before", "after"]
    site: SiteKind
    activation: str | None = None

    @property
    def renames(self) -> bool:
        """The name of what was there grows by its place in the pair."""
        return True

    @property
    def _held(self) -> str:
        """What the patch calls the module that was there."""
        return "module" if self.activation else "activation"

    def apply(self, model: nn.Module) -> None:
        """New modules go where the model's weights are and take the mode of what was there."""
        for place in self.places:
            there = model.get_submodule(place.names[0])
            new = place.make(model)
            pair = nn.Sequential(new, there) if self.side == "before" else nn.Sequential(there, new)
            for name in place.names:
                model.set_submodule(name, pair.train(there.training))

    def lines(self) -> list[str]:
        """A loop over the modules beside which the same is put."""
        lines, held = [], self._held
        for (constructor, several), run in groupby(self.places, key=lambda p: (p.constructor, len(p.names) > 1)):
            made = [
                f"{held} = model.get_submodule({{}})",
                f"new = {constructor}",
                f"pair = nn.Sequential({f'new, {held}' if self.side == 'before' else f'{held}, new'})",
                f"pair.train({held}.training)",
            ]
            if several:
                for place in run:
                    lines += [made[0].format(repr(place.names[0])), *made[1:], *set_everywhere(place.names, "pair")]
                continue
            lines.append(f"for name in {wrapped([place.names[0] for place in run], indent=4)}:")
            lines += [f"    {line}" for line in (made[0].format("name"), *made[1:], "model.set_submodule(name, pair)")]
        return lines

    def order_after(self, order: Order) -> Order:
        """Each of the modules is two steps now.

        Where a new activation follows an affine map is known by what runs next alone: the places that were measured
        know nothing of it.
        """
        names = {name for place in self.places for name in place.names}
        steps: list[Step] = []
        for step in order:
            if self.activation is not None and step.kind == "affine":
                step = replace(step, followed_by=None)
            if step.module not in names or step.functional:
                steps.append(step)
                continue
            pair = [Step("", self.site, self.activation, shape=step.shape), step]
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
