"""Tensors inside whatever a module takes or returns: tuples, lists, dictionaries, dataclasses, bare tensors."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

_MAX_DEPTH = 6


def tensors(value: Any, depth: int = 0) -> Iterator[Tensor]:
    """The tensors of a nested value in order; deeper than six levels nothing is looked for."""
    if isinstance(value, Tensor):
        yield value
    elif depth < _MAX_DEPTH:
        for item in _children(value):
            yield from tensors(item, depth + 1)


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
