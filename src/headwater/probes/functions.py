"""Torch functions that a model's forward calls: an activation, a join or an attention is a site."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headwater.probes import classify
from headwater.probes.attention import AttentionStatistics, attention_statistics, softmax_statistics
from headwater.probes.frame import Frame
from headwater.theory import Activation

if TYPE_CHECKING:
    from headwater.probes.recorder import Recorder

_ATTENTION_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"})
_DROPOUT_ARGUMENTS = ("input", "p", "training")
_SCORES_RANK = 4  # of (batch, heads, queries, keys)


class FunctionSites(TorchFunctionMode):
    """Shows a recorder the torch functions that are called while a model's forward runs.

    Args:
        recorder: Takes the sites.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._entered = False

    def begin(self) -> None:
        """Look at functions from here on."""
        if not self._entered:
            self._entered = True
            self.__enter__()

    def end(self) -> None:
        """Leave, unless a mode of the user's was begun since and is still there: then look at nothing any more."""
        if self._entered and torch.overrides._get_current_function_mode() is self:
            self._entered = False
            self.__exit__(None, None, None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        info = self._recorder.user_code()
        if info is None:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs.get("input", kwargs.get("query"))
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            return func(*args, **kwargs)
        name = _function_name(func)
        activation = classify.functional_activation(func) if x.is_floating_point() else None
        choice = self._recorder.choice
        if choice is not None and not choice.function(info.name, name):
            output = func(*args, **kwargs)
            if activation is not None:
                self._recorder.note_signal(output)
            return output
        frame = Frame(info)
        if activation is not None:
            return self._call_activation(frame, func, args, kwargs, x, activation)
        if name in classify.JOINS and self._joins(args):
            return self._call_join(frame, func, args, kwargs)
        if name == "scaled_dot_product_attention":
            return self._call_attention(frame, func, args, kwargs)
        if name in _DROPOUTS and self._recorder.thorough:
            return self._call_dropout(frame, func, args, kwargs)
        if name == "softmax" and self._recorder.thorough and x.dim() == _SCORES_RANK:
            return self._call_softmax(frame, func, args, kwargs, x)
        return func(*args, **kwargs)

    def _call_activation(
        self,
        frame: Frame,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        x: Tensor,
        activation: Activation,
    ) -> Any:
        recorder = self._recorder
        recorder.attempt(frame, self._note_activation, frame, activation, x, args, kwargs)
        output = func(*args, **kwargs)
        recorder.attempt(frame, recorder.add, frame, _function_name(func), "activation", output, True, activation)
        return output

    def _note_activation(
        self, frame: Frame, activation: Activation, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._recorder.note_input(frame, x)
        parameters = classify.call_parameters(activation, args, kwargs)
        self._recorder.note_activation(frame, activation, x, parameters)

    def _joins(self, args: tuple[Any, ...]) -> bool:
        """Whether two signals that sites made or took are added, as a shortcut is to its branch."""
        if len(args) != 2 or not all(isinstance(x, Tensor) and x.grad_fn is not None for x in args):
            return False
        return args[0].shape == args[1].shape and args[0] is not args[1] and all(map(self._recorder.knows_signal, args))

    def _call_join(self, frame: Frame, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._recorder.note_nodes(frame, (args, kwargs))
        output = func(*args, **kwargs)
        self._recorder.attempt(frame, self._recorder.add, frame, "add", "join", output, True, None)
        return output

    def _call_attention(
        self, frame: Frame, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self._recorder.note_nodes(frame, (args, kwargs))
        output = func(*args, **kwargs)
        self._recorder.attempt(frame, self._add_attention, frame, args, kwargs, output)
        return output

    def _add_attention(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        record = self._recorder.add(frame, "scaled_dot_product_attention", "attention", output, True, None)
        if record is not None and self._recorder.thorough and not hasattr(output, "to_local"):
            given = {**dict(zip(_ATTENTION_ARGUMENTS, args, strict=False)), **kwargs}
            record.attention = attention_statistics(
                **{name: value for name, value in given.items() if name not in ("value", "dropout_p")}
            )

    def _call_dropout(
        self, frame: Frame, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A dropout that is on; one that is off does nothing."""
        given = {**dict(zip(_DROPOUT_ARGUMENTS, args, strict=False)), **kwargs}
        share, training = given.get("p", 0.5), given.get("training", True)
        if not training or not isinstance(share, (int, float)) or not share:
            return func(*args, **kwargs)
        self._recorder.note_nodes(frame, (args, kwargs))
        output = func(*args, **kwargs)
        self._recorder.attempt(frame, self._add_dropout, frame, _function_name(func), float(share), output)
        return output

    def _add_dropout(self, frame: Frame, name: str, share: float, output: Any) -> None:
        record = self._recorder.add(frame, name, "other", output, True, None)
        if record is not None:
            record.settings = {"p": share, "training": 1.0}

    def _call_softmax(
        self, frame: Frame, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor
    ) -> Any:
        """Scores of (batch, heads, queries, keys) on their way to becoming attention."""
        recorder = self._recorder
        recorder.note_nodes(frame, (args, kwargs))
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        statistics: list[AttentionStatistics] = []
        if isinstance(dim, int) and dim % x.dim() == x.dim() - 1:
            recorder.attempt(frame, lambda: statistics.append(softmax_statistics(x, dim)))
        output = func(*args, **kwargs)
        if statistics:
            recorder.attempt(frame, self._add_softmax, frame, statistics[0], output)
        return output

    def _add_softmax(self, frame: Frame, statistics: AttentionStatistics, output: Any) -> None:
        record = self._recorder.add(frame, "softmax", "attention", output, True, None)
        if record is not None:
            record.attention = statistics


def _function_name(func: Callable[..., Any]) -> str:
    """Its name without the underscore of an in-place variant; ``__iadd__`` and the like as they are."""
    name = str(getattr(func, "__name__", ""))
    return name if name.startswith("__") else name.rstrip("_")
