"""Shortcuts round whole blocks: x + block(norm(x)), whatever a block does inside.

``structure.prenorm`` bridges one affine map and what follows it. Blocks of attention, of graph layers, of mixers are
modules of their own, several maps long, and called with more than x (edges, masks): here each is taken as it is, run
once on a batch to see that it gives what it takes in shape, and given a way round it, along which signals, gradients
and what tells one position or node from the next come through. Where a block normalises nothing itself, its input is
normalised first, each position over its units, or each picture over channels and pixels.

Applies to two blocks or more of one class side by side (in an ``nn.Sequential``, an ``nn.ModuleList`` or as attributes)
whose input comes first and which give one tensor of its shape, and which nobody has put a shortcut in or round. Wrong
where the layers are meant to forget what came in; where each block adds to a signal that nothing normalises at the end,
its size grows as the root of the number of blocks. Costs an addition, and where there was none a normalisation, per
block. Applied twice, it finds shortcuts there and refuses.

Source: He, Zhang, Ren, Sun 2016, arXiv:1603.05027; Dong, Cordonnier, Loukas 2021, arXiv:2103.03404, for attention,
whose output without shortcuts becomes the same at all positions, doubly exponentially with depth; Li, Müller, Thabet,
Ghanem 2019, arXiv:1904.03751, section 3.2, for graph networks that smooth all nodes to one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from headwater.probes.classify import module_kind
from headwater.probes.tree import own_copy
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit
from headwater.remedies.edits_round import ShortcutsRound, Whole, is_part
from headwater.remedies.order import Order
from headwater.remedies.places import names_of
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "structure.residual"
FEWEST = 2  # blocks of a class side by side; a single one that keeps its shape is the network's body


def _plan(model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    shapes = _shapes(model, data)
    alike = _outermost(_side_by_side(model, shapes))
    if not alike:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} has no two blocks of one class side by side that give one tensor as large "
            "as the one they take. Write the shortcut where you want one, x = x + block(x), or take structure.prenorm, "
            "which bridges single layers."
        )
    blocks = [name for name in alike if not _has_shortcut(name, order)]
    if not blocks:
        raise NotApplicableError(
            f"{ID}: {alike[0]!r} has a shortcut already, in its forward or round it. init.he and init.orthogonal suit "
            "any structure."
        )
    return (ShortcutsRound(tuple(_whole(model, name, shapes[name]) for name in blocks)),)


def _shapes(model: nn.Module, data: Data) -> dict[str, tuple[int, ...]]:
    """Shape of what comes into each block that gives the same; a block that is reused must do so every time."""
    shapes: dict[str, tuple[int, ...]] = {}
    others: set[str] = set()

    def look(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            keeps = bool(args) and all(isinstance(x, Tensor) for x in (args[0], output))
            if keeps and output.shape == args[0].shape and output.dtype == args[0].dtype and output.dim() > 1:
                shapes[name] = tuple(output.shape)
            else:
                others.add(name)

        return hook

    with _hooked(model, look):
        try:
            _run(model, data)
        except Exception as error:
            raise NotApplicableError(
                f"{ID}: loss(model, batch) raised {type(error).__name__}: {error}. It is run once to see which blocks "
                "keep the shape of what they take."
            ) from error
    return {name: shape for name, shape in shapes.items() if name not in others}


def _run(model: nn.Module, data: Data) -> None:
    """Without a graph; with one if the loss needs that, as one with a derivative of the output in it does."""
    try:
        with torch.no_grad():
            data.loss(model, own_copy(data.batches[0]))
    except RuntimeError:
        with torch.enable_grad():
            data.loss(model, own_copy(data.batches[0]))


@contextmanager
def _hooked(model: nn.Module, look: Any) -> Iterator[None]:
    handles = [
        module.register_forward_hook(look(name)) for name, module in model.named_modules() if name and _is_block(module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_block(module: nn.Module) -> bool:
    """Whether it has weights, and is no single layer of PyTorch's own."""
    weighs = any(p.dim() > 1 and p.is_floating_point() for p in module.parameters())
    composed = any(True for _ in module.children()) or not type(module).__module__.startswith("torch.nn")
    return weighs and composed and not isinstance(module, (nn.ModuleList, nn.ModuleDict))


def _side_by_side(model: nn.Module, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Those that have another one of their class beside them, in the order of the model."""

    def place(name: str) -> tuple[str, type]:
        return name.rpartition(".")[0], type(model.get_submodule(name))

    counts = Counter(place(name) for name in shapes)
    return [name for name, _ in model.named_modules() if name in shapes and counts[place(name)] >= FEWEST]


def _outermost(names: list[str]) -> list[str]:
    return [name for name in names if not any(is_part(name, other) for other in names if other != name)]


def _has_shortcut(name: str, order: Order) -> bool:
    """Whether signals are added up in the block, or behind it before anything else is computed by weights."""
    inside = [index for index, step in enumerate(order) if is_part(step.module, name)]
    if any(order[index].kind == "join" for index in inside):
        return True
    for step in order[inside[-1] + 1 :] if inside else ():
        if step.kind == "join":
            return True
        if step.kind not in ("activation", "normalization"):
            return False
    return False


def _whole(model: nn.Module, name: str, shape: tuple[int, ...]) -> Whole:
    block = model.get_submodule(name)
    like = next(f"{name}.{inner}" for inner, p in block.named_parameters() if p.dim() > 1 and p.is_floating_point())
    norm: tuple[str, tuple[int, ...]] = ("LayerNorm", (shape[-1],))
    if any(module_kind(part) == "normalization" for part in block.modules()):
        norm = ("", ())
    elif any(isinstance(part, _ConvNd) for part in block.modules()):
        norm = ("GroupNorm", (1, shape[1]))
    return Whole(names_of(model, name), *norm, like)


REMEDY = Remedy(ID, _plan, needs_data=True)
