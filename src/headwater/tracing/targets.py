"""Which number is differentiated: the output itself, or a loss chosen from what the target is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from headwater.probes.tree import describe
from headwater.records import InputError, Message

_IGNORED = -100  # cross_entropy's ignore_index
_REDUCED = "hw.trace(model, x, y, loss=lambda output, y: loss(output, y).mean())"


class Target:
    """``target(output, y) -> scalar tensor``; after the first call it can say what it computed.

    Args:
        y: The target, ``None`` where the output itself is differentiated.
        loss: The caller's ``loss(output, y)``.
    """

    def __init__(self, y: Any, loss: Callable[[Any, Any], Any] | None) -> None:
        self.y = y
        self.is_loss = y is not None or loss is not None
        self._loss = loss
        self._chosen = "loss" if loss is not None else "output"

    def message(self) -> Message:
        if self._chosen == "loss":
            name = getattr(self._loss, "__name__", type(self._loss).__name__)
            return Message("trace.target.named_loss", {"name": "loss" if name == "<lambda>" else name})
        ids = {
            "output": Message("trace.target.output"),
            "sum": Message("trace.target.sum"),
            "mse": Message("trace.target.mse"),
            "cross_entropy": Message("trace.target.cross_entropy"),
        }
        return ids[self._chosen]

    def __call__(self, output: Tensor, y: Any) -> Tensor:
        """The number.

        Raises:
            InputError: If the loss fails, or is no scalar.
        """
        if self._loss is not None:
            return self._callers(output, y)
        if y is None:
            self._chosen = "output" if output.numel() == 1 else "sum"
            return output.reshape(()) if output.numel() == 1 else output.sum()
        try:
            return self._by_target(output, y)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{self._chosen} of output and y raised {type(error).__name__}: {error}\n"
                f"  output: {describe(output)}, y: {describe(y)}\n"
                "Say which loss is meant: hw.trace(model, x, y, loss=lambda output, y: ...)"
            ) from error

    def _by_target(self, output: Tensor, y: Any) -> Tensor:
        if not isinstance(y, Tensor):
            raise InputError(
                f"y must be a tensor or numbers, got {describe(y)}: hw.trace(model, x, torch.tensor([1.0]))"
            )
        classes = output.shape[1] if output.dim() > 1 else output.numel()
        if not y.is_floating_point() and classes > 1:
            self._chosen = "cross_entropy"
            named = y[y != _IGNORED]
            if named.numel() and not 0 <= int(named.min()) <= int(named.max()) < classes:
                raise InputError(
                    f"y has classes from {int(named.min())} to {int(named.max())}, and the model's output is for "
                    f"{classes}, which are 0 to {classes - 1}."
                )
            if y.dim() == 1 and output.dim() == 1 and y.numel() == 1:
                y = y.reshape(())
            return functional.cross_entropy(output, y.long())
        self._chosen = "mse"
        if y.numel() != output.numel():
            raise InputError(
                f"y has shape {list(y.shape)} and the model's output {list(output.shape)}: hand over one number for "
                f"each, hw.trace(model, x, y) with y of shape {list(output.shape)}; or class numbers as integers."
            )
        return functional.mse_loss(output, y.reshape(output.shape).to(output.dtype))

    def _callers(self, output: Tensor, y: Any) -> Tensor:
        assert self._loss is not None
        try:
            value = self._loss(output, y)
        except Exception as error:
            raise InputError(
                f"loss(output, y) raised {type(error).__name__}: {error}\n"
                f"  output: {describe(output)}, y: {describe(y)}\n"
                "The loss takes the model's output and y: "
                "hw.trace(model, x, y, loss=torch.nn.functional.mse_loss)"
            ) from error
        if not isinstance(value, Tensor):
            raise InputError(
                f"loss(output, y) must return a scalar tensor, got {type(value).__name__}. "
                "Return the tensor itself, not loss.item()."
            )
        if value.numel() != 1:
            raise InputError(
                f"loss(output, y) must return a scalar, got a tensor of shape {list(value.shape)}. "
                f"Reduce it: {_REDUCED}"
            )
        return value.reshape(())


def target_of(y: Any, loss: Callable[[Any, Any], Any] | None) -> Target:
    """The target with plain numbers made a tensor, with all their digits."""
    numbers = y = torch.as_tensor(y) if hasattr(y, "__array__") and not isinstance(y, Tensor) else y
    if isinstance(y, (int, float, list, tuple)) and not isinstance(y, bool):
        try:
            y = torch.as_tensor(y)  # whole numbers stay whole: they are classes
            y = torch.as_tensor(numbers, dtype=torch.float64) if y.is_floating_point() else y
        except (TypeError, ValueError, RuntimeError):
            return Target(numbers, loss)
        y = y.reshape(1) if not y.dim() else y
    return Target(y, loss)
