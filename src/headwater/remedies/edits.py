"""The changes remedies make to a model, each also as code that makes the very same change."""

import copy
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from headwater.records import InputError, Message
from headwater.remedies.order import Order
from headwater.theory import ACTIVATIONS

T = TypeVar("T")


class Edit(Protocol):
    """One change to a model, to its optimizer or to both. A remedy plans edits; surgery applies them to copies; the
    patch is their lines. An edit that inherits from this class need only define the side that it changes.
    """

    def apply(self, model: nn.Module) -> None:
        """Make the change to the model, in place."""
        return

    def lines(self) -> list[str]:
        """Code that makes exactly this change to ``model``."""
        return []

    def apply_to_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Make the change to an optimizer over the changed model's parameters, in place."""
        return

    def optimizer_lines(self) -> list[str]:
        """Code that makes exactly this change to ``optimizer``; empty where the optimizer stays as it is."""
        return []

    def definitions(self) -> tuple[Any, ...]:
        """Functions and classes that the lines use, whose sources need torch and nothing else; bases come first."""
        return ()

    def order_after(self, order: Order) -> Order:
        """The execution order of the changed model; remedies that follow see this one."""
        return order

    @property
    def redrawn(self) -> tuple[str, ...]:
        """Modules whose weights are new, so that an optimizer's state for them means nothing any more."""
        return ()

    @property
    def warnings(self) -> tuple[Message, ...]:
        """What whoever applies it should know of the result."""
        return ()

    @property
    def renames(self) -> bool:
        """Whether modules have other names afterwards, so that what follows must be planned on the changed model."""
        return False


@dataclass(frozen=True)
class ReplaceActivations(Edit):
    """Put another activation in the place of some.

    Attributes:
        places: For each module to replace, every name it goes by (a reused module has several).
        activation: Id of the activation to put there.
        parameters: What it is made with beside the table's own arguments, such as its slope.
        like: Name of the layer whose device and dtype it takes; ``""`` where all of the model's are alike.
    """

    places: tuple[tuple[str, ...], ...]
    activation: str
    parameters: tuple[tuple[str, float], ...] = ()
    like: str = ""

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The places: an activation with a slope of its own brings new parameters."""
        return tuple(names[0] for names in self.places)

    def apply(self, model: nn.Module) -> None:
        """Replace the modules; new ones go where the model's weights are and keep the old ones' mode."""
        entry = ACTIVATIONS[self.activation]
        for names in self.places:
            new: nn.Module = getattr(nn, entry.modules[0])(**entry.arguments, **dict(self.parameters))
            place = next(model.get_submodule(self.like).parameters())
            new = new.to(place).train(model.get_submodule(names[0]).training)
            for name in names:
                model.set_submodule(name, new)

    def lines(self) -> list[str]:
        """A loop over the modules with one name, and a block for each that has several."""
        entry = ACTIVATIONS[self.activation]
        constructor = replace(entry, arguments={**entry.arguments, **dict(self.parameters)}).constructor
        if self.activation == "prelu":  # brings a weight, which belongs where the others are
            constructor += f".to({weight_like(self.like)})"
        single = [names[0] for names in self.places if len(names) == 1]
        lines = []
        if single:
            lines += [f"for name in {wrapped(single, indent=4)}:", f"    model.set_submodule(name, {constructor})"]
        for names in self.places:
            if len(names) > 1:
                lines.append(f"shared = {constructor}")
                lines += set_everywhere(names, "shared")
        return lines

    def order_after(self, order: Order) -> Order:
        """The replaced steps compute the new activation."""
        replaced = {name for names in self.places for name in names}
        return tuple(
            replace(step, activation=self.activation, parameters=self.parameters)
            if step.module in replaced and step.activation is not None
            else step
            for step in order
        )


@dataclass(frozen=True)
class DrawWeights(Edit):
    """Draw the weights of some layers anew from N(0, std²), and set their biases to zero or draw them as well.

    Attributes:
        layers: Name and std of each layer, in execution order.
        seed: Seed of the generator that all of them draw from, in that order.
        rule: What the stds follow, for the patch's comment.
        biases: Std of each layer's biases; none of them is drawn where there is none.
    """

    layers: tuple[tuple[str, float], ...]
    seed: int
    rule: str
    biases: tuple[float, ...] = ()

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The layers."""
        return tuple(name for name, _ in self.layers)

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same weights on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for (name, std), bias_std in zip(self.layers, self.biases or [0.0] * len(self.layers), strict=True):
                weight, bias = (model.get_submodule(name)._parameters.get(part) for part in ("weight", "bias"))
                if weight is not None:
                    weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))
                if bias is not None:
                    bias.zero_()
                    if bias_std:
                        bias.copy_(torch.empty(bias.shape).normal_(0.0, bias_std, generator=generator))

    def lines(self) -> list[str]:
        """Layers share one generator, so only neighbours with the same deviation may share a line."""
        if self.biases:
            return self._lines_with_biases()
        rows = [(std, [name for name, _ in run]) for std, run in groupby(self.layers, key=lambda layer: layer[1])]
        return [
            f"# {self.rule}",
            "deviations = [",
            *(f"    ({std!r}, {wrapped(names, indent=8)})," for std, names in rows),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for std, names in deviations:",
            "        for layer in map(model.get_submodule, names):",
            "            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0.0, std, generator=generator))",
            "            if layer.bias is not None:",
            "                layer.bias.zero_()",
        ]

    def _lines_with_biases(self) -> list[str]:
        drawn = zip(self.layers, self.biases, strict=True)
        runs = groupby(((std, bias, name) for (name, std), bias in drawn), key=lambda row: row[:2])
        rows = [(std, bias, [name for _, _, name in run]) for (std, bias), run in runs]
        return [
            f"# {self.rule}",
            "deviations = [",
            *(f"    ({std!r}, {bias!r}, {wrapped(names, indent=8)})," for std, bias, names in rows),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for std, bias_std, names in deviations:",
            "        for layer in map(model.get_submodule, names):",
            "            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0.0, std, generator=generator))",
            "            if layer.bias is not None:",
            "                layer.bias.zero_()",
            "                if bias_std:",
            "                    bias = torch.empty(layer.bias.shape)",
            "                    layer.bias.copy_(bias.normal_(0.0, bias_std, generator=generator))",
        ]


def as_code(edits: tuple[Edit, ...]) -> str:
    """The edits as functions of the model and the optimizer that make exactly the same changes, ready to paste.

    Where the optimizer changes too, ``repair_optimizer(model, optimizer)`` takes the repaired model and an optimizer
    made over its parameters.
    """
    definitions = dict.fromkeys(part for edit in edits for part in edit.definitions())
    sources = [line for part in definitions for line in [*inspect.getsource(part).rstrip().split("\n"), "", ""]]
    body = [f"    {line}" for edit in edits for line in edit.lines()]
    on_optimizer = [f"    {line}" for edit in edits for line in edit.optimizer_lines()]
    code = [
        "import torch",
        "from torch import nn",
        "",
        "",
        *sources,
        "def repair(model):",
        *body,
        "    return model",
        "",
    ]
    if on_optimizer:
        code += ["", "def repair_optimizer(model, optimizer):", *on_optimizer, "    return optimizer", ""]
    return "\n".join(code)


def copied_model(thing: T, memo: dict[int, Any] | None = None) -> T:
    """A deep copy of a model, or of what belongs to one.

    Args:
        thing: To copy.
        memo: What is copied already, or stays what it is, by ``id``.

    Raises:
        InputError: If it cannot be copied.
    """
    memo = {} if memo is None else memo
    if isinstance(thing, nn.Module):
        memo |= {id(tensor): tensor.detach().clone() for tensor in _computed_before_forward(thing)}
    try:
        return copy.deepcopy(thing, memo)
    except Exception as error:
        raise InputError(
            f"{type(thing).__name__} cannot be copied ({type(error).__name__}: {error}). A remedy works on a copy: "
            "drop tensors with a graph that it holds (of a parametrised recurrent layer, with "
            "torch.nn.utils.parametrize.remove_parametrizations), or build a fresh one and hand that over."
        ) from error


def _computed_before_forward(model: nn.Module) -> Iterator[torch.Tensor]:
    """Weights that a hook computes before each forward (pruning, old-style weight norm); a copy computes its own."""
    for module in model.modules():
        for name, value in vars(module).items():
            sources = {f"{name}_orig", f"{name}_v"} & module._parameters.keys()
            if isinstance(value, torch.Tensor) and sources and module._forward_pre_hooks:
                yield value


def fans(layer: Any) -> tuple[float, float]:
    """Number of inputs one output sums over, and number of outputs that take one input, stride of 1 supposed.

    Args:
        layer: A linear layer, a convolution, a transposed convolution (whose stride spreads its inputs over the
            outputs, so that each sums over fewer), or Hugging Face's (in, out) Conv1D.
    """
    shape = tuple(layer.weight.shape)
    receptive = math.prod(shape[2:])
    groups = getattr(layer, "groups", 1)
    if getattr(layer, "transposed", False):
        return shape[0] * receptive / math.prod(layer.stride) / groups, float(shape[1] * receptive)
    if getattr(layer, "nf", None) is not None:
        return float(shape[0]), float(shape[1])
    return float(shape[1] * receptive), shape[0] * receptive / groups


def weight_like(layer: str) -> str:
    """Code for the parameter whose device and dtype new modules take; the model's first where all are alike."""
    return f"next(model.get_submodule({layer!r}).parameters())" if layer else "next(model.parameters())"


def set_everywhere(names: tuple[str, ...], variable: str) -> list[str]:
    """Lines that put one module in the place of another under all of its names."""
    return [f"model.set_submodule({name!r}, {variable})" for name in names]


def traced_forward(comment: str, function: str, owner: str, rows: list[str]) -> list[str]:
    """Lines that let a function rewrite the traced forward of ``owner``, with a row for each place in it."""
    return [
        f"# {comment}",
        f"{function}(model.get_submodule({owner!r}), [",
        *(f"    {row}," for row in rows),
        "])",
    ]


def wrapped(names: list[str], indent: int) -> str:
    """A list of names, several lines long where it has to be, inside a statement indented by ``indent``."""
    text = repr(names)
    if len(text) < 70:
        return text
    rows = [names[start : start + 8] for start in range(0, len(names), 8)]
    pad = " " * (indent + 4)
    return "[\n" + "\n".join(pad + ", ".join(map(repr, row)) + "," for row in rows) + "\n" + " " * indent + "]"
