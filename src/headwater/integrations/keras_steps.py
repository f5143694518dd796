"""A model and an optimizer of Keras's as torch knows them: layers with names, steps that hooks are told of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle


class Steps(torch.optim.Optimizer):
    """Steps when Keras does: it moves nothing itself, and calls the hooks that whoever watches it has registered."""

    def __init__(self, parameters: list[torch.nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults)
        self._before: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._after: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._own: Any = None

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return _kept(self._before, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return _kept(self._after, hook)

    def follow(self, own: Any) -> None:
        """Call the hooks around each step of an optimizer of Keras's, until :meth:`leave`."""
        apply = own.apply

        def applied(*args: Any, **kwargs: Any) -> Any:
            for hook in list(self._before.values()):
                hook(self, (self,), {})
            result = apply(*args, **kwargs)
            for hook in list(self._after.values()):
                hook(self, (self,), {})
            return result

        self._own = own
        own.__dict__["apply"] = applied  # not by setattr: Keras would keep it with what it saves

    def leave(self) -> None:
        """Leave the optimizer as it was; may be called again."""
        if self._own is not None:
            self._own.__dict__.pop("apply", None)
            self._own = None


def steps_of(model: Any) -> Steps:
    """The steps of a compiled model's optimizer, under its name."""
    own = model.optimizer
    decay = getattr(own, "weight_decay", None) or 0.0
    kind = type(type(own).__name__, (Steps,), {})
    parameters = [variable.value for variable in model.trainable_variables]
    return kind(parameters, {"lr": float(own.learning_rate), "weight_decay": float(decay)})


def layers_of(model: Any) -> torch.nn.Module:
    """The layers of a model by their names: Keras keeps them in lists, which torch does not look into.

    Those inside another one are called ``block/dense``; each weight belongs to the innermost layer that has it.
    """
    found = torch.nn.Module()
    for name, layer in _innermost(model, ""):
        if not hasattr(found, name):
            found.add_module(name.replace(".", "_"), layer)
    return found


def _innermost(layer: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        if list(inner._flatten_layers(include_self=False, recursive=False)):
            yield from _innermost(inner, f"{prefix}{inner.name}/")
        else:
            yield f"{prefix}{inner.name}", inner


def _kept(hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle
