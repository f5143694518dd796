"""A model as those see it who hand it other inputs than they think."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class SeenThrough:
    """A model that is called with changed inputs; all else is the model's own.

    Args:
        model: That answers.
        change: What becomes of the inputs of a call, positional ones and then named ones.
    """

    def __init__(self, model: nn.Module, change: Callable[[list[Any]], list[Any]]) -> None:
        self._model, self._change = model, change

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        changed = self._change([*args, *kwargs.values()])
        return self._model(*changed[: len(args)], **dict(zip(kwargs, changed[len(args) :], strict=True)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
