"""Tensors inside whatever a module takes or returns: tuples, lists, dictionaries, dataclasses, bare tensors."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

_MAX_DEPTH = 6


def tensors(value: Any, depth: int = 0) -> Iterator[Tensor]:
    """The tensors of a nested value in order; deeper than six levels nothing is looked for."""
    if isinstance(value, Tensor):
        yield value
    elif depth < _MAX_DEPTH:
        for item in _children(value):
            yield from tensors(item, depth + 1)


def mapped(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """The nested value with ``function`` of each tensor in its place, and of those that stand there in the others.

    Args:
        function: Takes one tensor of each value.
        value: Copied where it is changed; what is no tensor is this one's.
        others: Built alike.

    Raises:
        ValueError: If they are not.
    """

    def at_leaf(first: Any, *rest: Any) -> Any:
        if isinstance(first, Tensor):
            return function(first, *rest)
        if isinstance(first, Mapping):  # such as a UserDict
            changed: Any = copy.copy(first)
            for key in first:
                changed[key] = mapped(function, first[key], *(other[key] for other in rest))
            return changed
        if dataclasses.is_dataclass(first) and not isinstance(first, type):
            changed = copy.copy(first)
            for field in dataclasses.fields(first):
                parts = [getattr(other, field.name) for other in (first, *rest)]
                object.__setattr__(changed, field.name, mapped(function, *parts))  # frozen ones too
            return changed
        return first

    return tree_map(at_leaf, value, *others)


def own_copy(batch: Any) -> Any:
    """The batch to hand to somebody's loss, which may scale what it is given, or pop a label: ours stays as it is.

    What has a graph, and leaves that gradients go to, are handed over themselves; so is what cannot be copied.
    """
    try:
        return mapped(_own, batch)
    except Exception:
        return batch


def _own(tensor: Tensor) -> Tensor:
    if tensor.requires_grad or _is_expanded(tensor):
        return tensor
    return tensor.clone()


def _is_expanded(tensor: Tensor) -> bool:
    """Whether several elements lie in one place: such a one cannot be written into, and its copy may be huge."""
    return tensor.layout is torch.strided and 0 in tensor.stride() and tensor.numel() > 1


def main_tensor(value: Any) -> Tensor | None:
    """The tensor an output stands for: the first floating-point or complex one with elements to differentiate."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, Tensor):  # nearly always, so the walk is spared
        return value if value.is_floating_point() or value.is_complex() else None
    return next((t for t in tensors(value) if t.is_floating_point() or t.is_complex()), None)


def describe(value: Any, depth: int = 0) -> str:
    """Shapes and dtypes of a batch in one line, such as ``tuple(float32[8, 3, 32, 32], int64[8])``."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {describe(item, depth + 1)}" for key, item in list(value.items())[:8]) + "}"
    children = list(_children(value))
    if children:
        return f"{type(value).__name__}({', '.join(describe(item, depth + 1) for item in children[:8])})"
    return type(value).__name__


def _children(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (tuple, list)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return []
