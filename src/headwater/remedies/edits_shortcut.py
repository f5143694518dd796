"""Put shortcuts round blocks: in a chain of ``nn.Sequential``, or in a forward that calls the block's parts itself."""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import nn

from headwater.remedies.edits import Edit, traced_forward, weight_like
from headwater.remedies.order import Order, Step
from headwater.remedies.rewriting import OwnForward, graph_of, let_compute, put_joins
from headwater.remedies.shortcut import GatedJoin, Join, Shortcut, put_shortcut


@dataclass(frozen=True)
class Block:
    """A run of operations that gives what it takes in shape: an affine map and what follows it.

    Attributes:
        owner: Name of the chain they stand in, or of the module whose forward calls them.
        parts: Names of the operations: children of the chain, or nodes of the forward's graph.
        layer: Name of the affine map, from the model.
        norm: Class in ``torch.nn`` of a normalisation before it; ``""`` for none.
        arguments: What that is made with.
        gated: Whether the block's share starts at zero.
        number: Of the block in its forward, from 1; 0 in a chain.
    """

    owner: str
    parts: tuple[str, ...]
    layer: str
    norm: str
    arguments: tuple[int, ...]
    gated: bool
    number: int = 0

    def new_norm(self, model: nn.Module) -> nn.Module:
        """The normalisation; the identity for none."""
        if not self.norm:
            return nn.Identity()
        norm: nn.Module = getattr(nn, self.norm)(*self.arguments)
        return norm.to(next(model.get_submodule(self.layer).parameters()))

    def new_join(self, model: nn.Module) -> nn.Module:
        """What adds both."""
        return GatedJoin().to(next(model.get_submodule(self.layer).parameters())) if self.gated else Join()

    def norm_code(self, weight: str) -> str:
        """Code for the normalisation."""
        return f"nn.{self.norm}({', '.join(map(repr, self.arguments))}).to({weight})" if self.norm else "nn.Identity()"

    def join_code(self, weight: str) -> str:
        """Code for what adds both."""
        return f"GatedJoin().to({weight})" if self.gated else "Join()"


@dataclass(frozen=True)
class ShortcutsInChains(Edit):
    """Make runs of neighbours in ``nn.Sequential`` blocks with a shortcut, each under the name of its first.

    Attributes:
        blocks: In execution order.
    """

    blocks: tuple[Block, ...]

    @property
    def renames(self) -> bool:
        """The parts go on inside the block."""
        return True

    def apply(self, model: nn.Module) -> None:
        """All new modules are made before names change."""
        made = [(block, block.new_norm(model), block.new_join(model)) for block in self.blocks]
        for block, norm, join in made:
            put_shortcut(model.get_submodule(block.owner), block.parts, norm, join)

    def lines(self) -> list[str]:
        """A loop over the blocks that get the same."""
        lines = []
        for (norm, join), run in groupby(self.blocks, key=lambda b: (b.norm_code("weight"), b.join_code("weight"))):
            rows = [f"    ({block.owner!r}, {block.parts!r})," for block in run]
            lines += [
                "for path, parts in [",
                *rows,
                "]:",
                "    chain = model.get_submodule(path)",
                *(["    weight = next(chain.get_submodule(parts[0]).parameters())"] if "weight" in norm + join else []),
                f"    put_shortcut(chain, parts, {norm}, {join})",
            ]
        return lines

    def definitions(self) -> tuple[Any, ...]:
        """The modules, and what puts them there."""
        return (*_joins(self.blocks), Shortcut, put_shortcut)

    def order_after(self, order: Order) -> Order:
        """Each block begins with its normalisation and ends in a join; its parts have other names."""
        renamed: dict[str, str] = {}
        at: dict[str, str] = {}
        for block in self.blocks:
            path = _joined(block.owner, block.parts[0])
            at[f"{path}.block.0"] = path
            renamed |= {_joined(block.owner, part): f"{path}.block.{i}" for i, part in enumerate(block.parts)}
        normed = {_joined(block.owner, block.parts[0]) for block in self.blocks if block.norm}
        return _with_joins(tuple(moved(step, renamed) for step in order), at, normed)


@dataclass(frozen=True)
class ShortcutsInForward(Edit):
    """Let a forward that calls a block's parts itself add the block's input to what it gives.

    Attributes:
        owner: Whose forward.
        blocks: In the order they run.
    """

    owner: str
    blocks: tuple[Block, ...]

    @property
    def renames(self) -> bool:
        """No name changes, but modules are called that were not there."""
        return True

    def apply(self, model: nn.Module) -> None:
        """The owner's class becomes a subclass of what it was, with the forward its graph gives."""
        places = []
        for block in self.blocks:
            norm = (f"norm_{block.number}", block.new_norm(model)) if block.norm else None
            places.append((block.parts[0], block.parts[-1], norm, (f"join_{block.number}", block.new_join(model))))
        put_joins(model.get_submodule(self.owner), places)

    def lines(self) -> list[str]:
        """One call."""
        rows = []
        for block in self.blocks:
            weight = weight_like(block.layer)
            norm = f"('norm_{block.number}', {block.norm_code(weight)})" if block.norm else "None"
            join = f"('join_{block.number}', {block.join_code(weight)})"
            rows.append(f"({block.parts[0]!r}, {block.parts[-1]!r}, {norm}, {join})")
        comment = "The forward is traced, and calls these beside what it called before"
        return traced_forward(comment, put_joins.__name__, self.owner, rows)

    def definitions(self) -> tuple[Any, ...]:
        """The modules, and what traces and rewrites."""
        return (*_joins(self.blocks), OwnForward, graph_of, let_compute, put_joins)

    def order_after(self, order: Order) -> Order:
        """Each block begins with its normalisation and ends in a join."""
        at = {block.layer: block.layer for block in self.blocks}
        return _with_joins(order, at, {block.layer for block in self.blocks if block.norm})


def ends_of_block(order: Order, start: int) -> int:
    """Index past the last operation that belongs to the block of the affine map at ``start``."""
    end = start + 1
    while end < len(order) and order[end].kind in ("activation", "normalization"):
        end += 1
    return end


def _with_joins(order: Order, at: dict[str, str], normed: set[str]) -> Order:
    steps: list[Step] = []
    pending = -1
    for index, step in enumerate(order):
        if index == pending:
            steps.append(Step("", "join", shape=order[index - 1].shape))
        if step.kind == "affine" and step.module in at:
            if at[step.module] in normed:
                steps.append(Step(f"{at[step.module]}.norm", "normalization"))
            pending = ends_of_block(order, index)
        steps.append(step)
    if pending == len(order):
        steps.append(Step("", "join"))
    return tuple(steps)


def moved(step: Step, renamed: dict[str, str]) -> Step:
    """The step under the name its module will have; parts of a part move along."""
    pieces = step.module.split(".")
    for end in range(1, len(pieces) + 1):
        if (old := ".".join(pieces[:end])) in renamed:
            return replace(step, module=".".join([renamed[old], *pieces[end:]]))
    return step


def _joins(blocks: tuple[Block, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(GatedJoin if block.gated else Join for block in blocks))


def _joined(owner: str, part: str) -> str:
    return f"{owner}.{part}".lstrip(".")
