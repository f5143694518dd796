"""Compiled models run their original code while they are measured: hooks set after compilation are not called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def eager() -> Iterator[None]:
    """Inside, every ``torch.compile``d function runs as it was written.

    Where nothing has been compiled there is nothing to do, and PyTorch's compiler, which takes a second to import, is
    left alone.
    """
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
