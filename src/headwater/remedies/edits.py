"""The two changes remedies make to a model, each also as code that makes the very same change."""

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from headwater.theory import ACTIVATIONS


@dataclass(frozen=True)
class ReplaceModule:
    """Put another module in the place of some.

    Attributes:
        names: Every name of the one module to replace (a reused module has several).
        activation: Id of the activation to put there.
    """

    names: tuple[str, ...]
    activation: str

    @property
    def constructor(self) -> str:
        """Code that makes the new module, such as ``nn.ReLU()``."""
        return ACTIVATIONS[self.activation].constructor

    def apply(self, model: nn.Module) -> None:
        """Replace the module; the new one goes where the model's weights are and keeps the old one's mode."""
        entry = ACTIVATIONS[self.activation]
        new: nn.Module = getattr(nn, entry.modules[0])(**entry.arguments)
        new = new.to(next(model.parameters())).train(model.get_submodule(self.names[0]).training)
        for name in self.names:
            model.set_submodule(name, new)


@dataclass(frozen=True)
class DrawWeights:
    """Draw the weights of some layers anew from N(0, std²) and set their biases to zero.

    Attributes:
        layers: Name and std of each layer, in execution order.
        seed: Seed of the generator that all of them draw from, in that order.
        rule: What the stds follow, for the patch's comment.
    """

    layers: tuple[tuple[str, float], ...]
    seed: int
    rule: str

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same weights on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for name, std in self.layers:
                weight, bias = (model.get_submodule(name)._parameters.get(part) for part in ("weight", "bias"))
                if weight is not None:
                    weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))
                if bias is not None:
                    bias.zero_()


Edit = ReplaceModule | DrawWeights


def as_code(edits: tuple[Edit, ...]) -> str:
    """The edits as a function of the model that makes exactly the same changes, ready to paste."""
    body: list[str] = []
    replacements = [edit for edit in edits if isinstance(edit, ReplaceModule)]
    draws = [edit for edit in edits if isinstance(edit, DrawWeights)]
    body += _replacement_lines(replacements)
    for draw in draws:
        body += _draw_lines(draw)
    lines = ["import torch", "from torch import nn", "", "", "def repair(model):"]
    return "\n".join([*lines, *(f"    {line}" for line in body), "    return model", ""])


def _replacement_lines(edits: list[ReplaceModule]) -> list[str]:
    single: dict[str, list[str]] = defaultdict(list)
    lines: list[str] = []
    for edit in edits:
        if len(edit.names) == 1:
            single[edit.constructor].append(edit.names[0])
        else:
            lines.append(f"shared = {_placed(edit.constructor)}")
            lines += [f"model.set_submodule({name!r}, shared)" for name in edit.names]
    for constructor, names in single.items():
        lines += [
            f"for name in {_wrapped(names, indent=4)}:",
            f"    model.set_submodule(name, {_placed(constructor)})",
        ]
    return lines


def _placed(constructor: str) -> str:
    """The constructor, moved to where the model's weights are if it brings weights of its own."""
    return f"{constructor}.to(next(model.parameters()))" if "PReLU" in constructor else constructor


def _draw_lines(draw: DrawWeights) -> list[str]:
    # Layers share one generator, so only neighbours with the same deviation may share a line.
    rows = [(std, [name for name, _ in run]) for std, run in groupby(draw.layers, key=lambda layer: layer[1])]
    return [
        f"# {draw.rule}",
        "deviations = [",
        *(f"    ({std!r}, {_wrapped(names, indent=8)})," for std, names in rows),
        "]",
        f"generator = torch.Generator().manual_seed({draw.seed})",
        "with torch.no_grad():",
        "    for std, names in deviations:",
        "        for layer in map(model.get_submodule, names):",
        "            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0.0, std, generator=generator))",
        "            if layer.bias is not None:",
        "                layer.bias.zero_()",
    ]


def _wrapped(names: list[str], indent: int) -> str:
    """A list of names, several lines long where it has to be, inside a statement indented by ``indent``."""
    text = repr(names)
    if len(text) < 70:
        return text
    rows = [names[start : start + 8] for start in range(0, len(names), 8)]
    pad = " " * (indent + 4)
    return "[\n" + "\n".join(pad + ", ".join(map(repr, row)) + "," for row in rows) + "\n" + " " * indent + "]"


def fans(layer: Any) -> tuple[float, float]:
    """Number of inputs one output sums over, and number of outputs one input reaches.

    Args:
        layer: A linear layer, a convolution, a transposed convolution, or Hugging Face's (in, out) Conv1D.
    """
    shape = tuple(layer.weight.shape)
    receptive = math.prod(shape[2:])
    groups = getattr(layer, "groups", 1)
    if getattr(layer, "transposed", False):
        return shape[0] * receptive / math.prod(layer.stride) / groups, float(shape[1] * receptive)
    if getattr(layer, "nf", None) is not None:
        return float(shape[0]), float(shape[1])
    return float(shape[1] * receptive), shape[0] * receptive / groups
