"""Compiled models run their original code while they are measured: hooks set after compilation are not called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_inside = 0
_stance: Any = None


@contextmanager
def eager() -> Iterator[None]:
    """Inside, every ``torch.compile``d function runs as it was written.

    Where nothing has been compiled there is nothing to do, and PyTorch's compiler, which takes a second to import, is
    left alone. Blocks may overlap, as the steps of two watches do: the last to end puts back what was before the first.
    """
    global _inside, _stance
    if "torch._dynamo" not in sys.modules:
        yield
        return
    if not _inside:
        _stance = torch.compiler.set_stance("force_eager")
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            _stance.__exit__(None, None, None)
            _stance = None
