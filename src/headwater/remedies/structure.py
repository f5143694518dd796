"""What remedies of structure share: the blocks that keep their shape, and can have a shortcut.

A block is an affine map with what follows it (normalisation, activation, dropout) up to the next operation, if what
comes out has the shape of what goes in: as many units, or as many channels and pixels. Blocks are neighbours in an
``nn.Sequential``, or operations in a forward that ``torch.fx`` can trace; the output's own layer is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from headwater.probes.classify import activation_of, module_kind
from headwater.remedies.edits import Edit
from headwater.remedies.edits_functions import activation_of_node, traced
from headwater.remedies.edits_shortcut import Block, ShortcutsInChains, ShortcutsInForward
from headwater.remedies.normalisation import units_last
from headwater.remedies.order import Order, affine_layers
from headwater.remedies.places import refuse_shortcuts
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.tailored_activation import Tailored

_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


@dataclass(frozen=True)
class Kind:
    """How blocks are bridged.

    Attributes:
        remedy_id: For messages.
        gated: Whether each block's share starts at zero.
        normed: Whether what goes into a block is normalised first.
    """

    remedy_id: str
    gated: bool
    normed: bool


def bridge(kind: Kind, model: nn.Module, order: Order) -> tuple[Edit, ...]:
    """The edits that put a shortcut round every block that keeps its shape.

    Raises:
        NotApplicableError: If the model has shortcuts, or no such block that can be reached.
    """
    refuse_shortcuts(kind.remedy_id, order, "its gradient has a way round the branches already")
    layers = affine_layers(order)
    hidden = set(layers[:-1])
    chains, forwards, unreached = [], [], []
    for owner, module in model.named_modules():
        if type(module).forward is nn.Sequential.forward:
            chains += list(_blocks_of_chain(kind, model, owner, hidden))
        elif not isinstance(module, (nn.ModuleList, nn.ModuleDict)) and any(
            f"{owner}.{name}".lstrip(".") in hidden for name, _ in _parts_of(module)
        ):
            try:
                blocks = tuple(_blocks_of_forward(kind, model, owner, hidden))
            except ValueError as error:
                unreached.append(f"the forward of {type(module).__name__} cannot be traced: {error}")
                continue
            if blocks:
                forwards.append(ShortcutsInForward(owner, blocks))
    if not chains and not forwards:
        why = unreached[0] if unreached else _why_none(model, layers)
        raise NotApplicableError(
            f"{kind.remedy_id}: {type(model).__name__} has no hidden layer with an activation that gives as many "
            f"units, or channels and pixels, as it takes: {why}. Write the shortcut where you want one, "
            "x = x + block(x), or take init.mirrored or activation.tailored, which need none."
        )
    return (*([ShortcutsInChains(tuple(chains))] if chains else []), *forwards)


def _parts_of(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Children a forward may call itself, those in lists included."""
    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from ((f"{name}.{inner}", part) for inner, part in _parts_of(child))
        else:
            yield name, child


def _blocks_of_chain(kind: Kind, model: nn.Module, owner: str, hidden: set[str]) -> Iterator[Block]:
    chain = model.get_submodule(owner)
    children = list(chain._modules.items())
    index = 0
    while index < len(children):
        name, child = children[index]
        index += 1
        if child is None or not _is_square(child) or f"{owner}.{name}".lstrip(".") not in hidden:
            continue
        end = index
        while end < len(children) and _follows(children[end][1]):
            end += 1
        parts = [part for _, part in children[index:end]]
        if any(_bends(part) for part in parts if part is not None):
            yield _block(kind, owner, tuple(name for name, _ in children[index - 1 : end]), name, child)
        index = end


def _blocks_of_forward(kind: Kind, model: nn.Module, owner: str, hidden: set[str]) -> Iterator[Block]:
    module = model.get_submodule(owner)
    taken = {name for name, _ in module.named_children()} | set(dir(module))
    number = 0
    for node in traced(model, owner).nodes:
        path = f"{owner}.{node.target}".lstrip(".")
        if node.op != "call_module" or path not in hidden or not _is_square(module.get_submodule(str(node.target))):
            continue
        run = list(_run(module, node))
        if not any(_node_bends(module, part) for part in run[1:]):
            continue
        number += 1
        while {f"norm_{number}", f"join_{number}"} & taken:
            number += 1
        layer = str(node.target)
        yield _block(kind, owner, tuple(n.name for n in run), layer, module.get_submodule(layer), number)


def _run(module: nn.Module, node: fx.Node) -> Iterator[fx.Node]:
    """A node and those that follow, each the only one to read the one before."""
    yield node
    while len(node.users) == 1:
        (after,) = node.users
        reads = after.args[:1] == (node,)
        if after.op == "call_module":
            reads = reads and _follows(module.get_submodule(str(after.target)))
        elif activation_of_node(after) is None and getattr(after.target, "__name__", "") not in _DROPOUTS:
            return
        if not reads:
            return
        yield after
        node = after


def _block(kind: Kind, owner: str, parts: tuple[str, ...], layer: str, module: Any, number: int = 0) -> Block:
    norm: tuple[str, tuple[int, ...]] = ("", ())
    if kind.normed:
        units = units_last(module)
        norm = ("LayerNorm", (units,)) if units is not None else ("GroupNorm", (1, module.in_channels))
    return Block(owner, parts, f"{owner}.{layer}".lstrip("."), *norm, kind.gated, number)


def _is_square(module: Any) -> bool:
    """Whether an affine map gives the shape it takes."""
    units = units_last(module)
    if units is not None:  # not by its weight: reading one that spectral norm computes moves it
        return bool(units == getattr(module, "in_features", getattr(module, "nx", None)))
    if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) or module.in_channels != module.out_channels:
        return False
    if isinstance(module.padding, str):
        return module.padding == "same"
    sizes = zip(module.kernel_size, module.padding, module.dilation, module.stride, strict=True)
    return all(stride == 1 and 2 * pad == dilation * (size - 1) for size, pad, dilation, stride in sizes)


def _follows(module: nn.Module | None) -> bool:
    """Whether a module belongs to the block before it: it keeps shapes, and has no affine map of its own."""
    if module is None:
        return False
    if type(module).forward is nn.Sequential.forward:
        return all(_follows(part) for part in module._modules.values())
    if type(module).__name__ == Tailored.__name__ or activation_of(module) is not None:
        return True
    return isinstance(module, nn.modules.dropout._DropoutNd) or module_kind(module) == "normalization"


def _bends(module: nn.Module) -> bool:
    return any(activation_of(part) is not None for part in module.modules())


def _node_bends(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return _bends(module.get_submodule(str(node.target)))
    return activation_of_node(node) is not None


def _why_none(model: nn.Module, layers: tuple[str, ...]) -> str:
    hidden = [name for name in layers[:-1] if not _is_square(model.get_submodule(name))]
    if hidden:
        return f"{hidden[0]!r} is {model.get_submodule(hidden[0])}"
    return (
        "there is no layer but the output's" if len(layers) < 2 else "no activation follows where it could be reached"
    )
