"""Which losses a training step calls, and what made the numbers it gives them."""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from headwater.probes.tree import own_copy
from headwater.remedies.data import Data

LOSSES = {
    functional.cross_entropy: "cross_entropy",
    functional.binary_cross_entropy_with_logits: "binary_cross_entropy_with_logits",
    functional.nll_loss: "nll_loss",
}
SQUASHING = {
    function: kind
    for kind, functions in {
        "softmax": (torch.softmax, functional.softmax, Tensor.softmax),
        "log_softmax": (torch.log_softmax, functional.log_softmax, Tensor.log_softmax),
        "sigmoid": (torch.sigmoid, functional.sigmoid, Tensor.sigmoid, torch.special.expit),
    }.items()
    for function in functions
}
MODULES = {nn.Softmax: "softmax", nn.Softmax2d: "softmax", nn.LogSoftmax: "log_softmax", nn.Sigmoid: "sigmoid"}
LIBRARIES = ("torch.", "headwater.remedies.")


@dataclass(frozen=True)
class Squashed:
    """Probabilities, or their logarithms, on their way into a loss.

    Attributes:
        loss: The loss's function.
        kind: ``softmax``, ``log_softmax`` or ``sigmoid``.
        module: Name of the module that made them, ``None`` if a function did.
        line: Where that was called, with its text.
        elsewhere: Whether the module also runs where no loss takes what it gives.
    """

    loss: str
    kind: str
    module: str | None
    line: str
    elsewhere: bool = False


def squashed_before_loss(model: nn.Module, data: Data) -> tuple[list[str], list[Squashed]]:
    """The losses of the first batch, and which of them are given probabilities.

    Args:
        model: A copy.
        data: The first batch is run.
    """
    made: list[tuple[Tensor, str, str | None, str]] = []  # held, so that no storage is used again
    seen = _Seen(made)

    def note(name: str, kind: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                made.append((output, kind, name, ""))

        return hook

    for name, module in model.named_modules():
        kind = next((kind for cls, kind in MODULES.items() if isinstance(module, cls)), None)
        if kind is not None:
            module.register_forward_hook(note(name, kind))
    with seen:
        data.loss(model, own_copy(data.batches[0]))
    ran = Counter(name for _, _, name, _ in made)
    found = []
    for loss, given in seen.losses:
        maker = next((m for m in reversed(made) if _same_storage(m[0], given)), None)
        if maker is not None:
            found.append((loss, maker))
    used = Counter(maker[2] for _, maker in found)
    return [loss for loss, _ in seen.losses], [
        Squashed(loss, kind, name, line, name is not None and ran[name] > used[name])
        for loss, (_, kind, name, line) in found
    ]


class _Seen(TorchFunctionMode):
    """Notes losses with what they are given, and functions that make probabilities with where they were called."""

    def __init__(self, made: list[tuple[Tensor, str, str | None, str]]) -> None:
        super().__init__()
        self.losses: list[tuple[str, Tensor]] = []
        self._made = made

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = args[0] if args else kwargs.get("input")
        if function in LOSSES and isinstance(given, Tensor):
            self.losses.append((LOSSES[function], given))
        result = function(*args, **kwargs)
        if function in SQUASHING and isinstance(result, Tensor):
            self._made.append((result, SQUASHING[function], None, _line(sys._getframe(1))))
        return result


def _line(caller: FrameType | None) -> str:
    """The line of the user's own code that led to a call."""
    while caller is not None and str(caller.f_globals.get("__name__", "")).startswith(LIBRARIES):
        caller = caller.f_back
    if caller is None:
        return ""
    path = caller.f_code.co_filename
    return f"{path}:{caller.f_lineno}: {linecache.getline(path, caller.f_lineno).strip()}"


def _same_storage(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
