"""Draw orthogonal weights: as a whole, in the middle tap of a kernel, or in mirrored blocks."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from headwater.remedies.edits import Edit, wrapped


def orthogonal(shape, std, generator, groups=1, centred=False, rows=1, columns=1):
    """A weight with orthogonal rows or columns, whichever are fewer, and entries of root mean square std.

    centred: only the middle tap of a kernel, the others are zero. rows, columns: 2 repeats the drawn block with the
    opposite sign: [A; -A], [A, -A] or [[A, -A], [-A, A]].
    """
    block = torch.zeros(shape[0] // rows, shape[1] // columns, *shape[2:], dtype=torch.float64)
    taps = block[(..., *[size // 2 for size in shape[2:]])] if centred else block
    for part in taps.chunk(groups):
        drawn = nn.init.orthogonal_(torch.empty(part.shape, dtype=torch.float64), generator=generator)
        part.copy_(drawn * (std / drawn.square().mean().sqrt()))
    block = torch.cat([block, -block], dim=1) if columns == 2 else block
    return torch.cat([block, -block], dim=0) if rows == 2 else block


@dataclass(frozen=True)
class OrthogonalLayer:
    """What one layer is drawn with.

    Attributes:
        name: Of the layer.
        std: Root mean square of the entries that are drawn.
        centred: Whether only the middle tap of its kernel is.
        rows: 2 if its outputs come in pairs of opposite sign.
        columns: 2 if its inputs do.
    """

    name: str
    std: float
    centred: bool = False
    rows: int = 1
    columns: int = 1

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of :func:`orthogonal` that are not its defaults."""
        blocks = {"rows": self.rows, "columns": self.columns}
        repeated = {name: times for name, times in blocks.items() if times > 1}
        return {"centred": True, **repeated} if self.centred else repeated


@dataclass(frozen=True)
class DrawOrthogonal(Edit):
    """Draw the weights of some layers anew, orthogonal, and set their biases to zero.

    Drawn in float64: an error of 1e-7 per layer would be 1e-4 after a thousand.

    Attributes:
        layers: In execution order.
        seed: Seed of the generator that all of them draw from, in that order.
        rule: What the stds follow, for the patch's comment.
    """

    layers: tuple[OrthogonalLayer, ...]
    seed: int
    rule: str

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The layers."""
        return tuple(layer.name for layer in self.layers)

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same weights on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for planned in self.layers:
                layer: Any = model.get_submodule(planned.name)
                groups = getattr(layer, "groups", 1)
                layer.weight.copy_(orthogonal(layer.weight.shape, planned.std, generator, groups, **planned.options))
                if layer._parameters.get("bias") is not None:
                    layer.bias.zero_()

    def lines(self) -> list[str]:
        """Layers share one generator, so only neighbours that are drawn alike may share a line."""
        runs = groupby(self.layers, key=lambda layer: (layer.std, layer.options))
        rows = [(std, options, [layer.name for layer in run]) for (std, options), run in runs]
        return [
            f"# {self.rule}",
            "layers = [",
            *(f"    ({std!r}, {options!r}, {wrapped(names, indent=8)})," for std, options, names in rows),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for std, options, names in layers:",
            "        for layer in map(model.get_submodule, names):",
            '            groups = getattr(layer, "groups", 1)',
            "            layer.weight.copy_(orthogonal(layer.weight.shape, std, generator, groups, **options))",
            "            if layer.bias is not None:",
            "                layer.bias.zero_()",
        ]

    def definitions(self) -> tuple[Any, ...]:
        """The one function that draws."""
        return (orthogonal,)
