"""The call of a fused recurrent layer, held until its gradients have arrived, and no longer."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from headwater.probes.recurrent import Gap, time_step_gradients
from headwater.records import TimeGradient


class TimeSteps:
    """Waits for the gradients at a recurrent layer's outputs, then follows them through its time steps.

    The input is alive anyway until the backward pass has used it; :meth:`finish` lets go of it.

    Args:
        module: ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``.
        x: Its input.
        hx: Its initial state.
        rng_state: Of the CPU, right before the call.
    """

    def __init__(self, module: nn.RNNBase, x: Any, hx: Any, rng_state: Tensor | None) -> None:
        self._module = module
        self._x = _detached(x)
        self._hx = _detached(hx)
        self._rng_state = rng_state
        self._gradients: dict[str, Tensor] = {}

    @staticmethod
    def of(module: nn.RNNBase, args: tuple[Any, ...], kwargs: dict[str, Any], rng_state: Tensor | None) -> TimeSteps:
        """For a call with these arguments."""
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        return TimeSteps(module, given["input"], given.get("hx"), rng_state)

    def attach(self, output: Any) -> list[RemovableHandle]:
        """Wait for the gradients of what the layer returned; the handles take the hooks off again."""
        sequence, final = output
        h_n, c_n = final if isinstance(final, tuple) else (final, None)
        # A plain tensor has `data` too: without the graph that the gradient comes back along.
        sequence = sequence.data if isinstance(sequence, PackedSequence) else sequence
        named = {"grad_output": sequence, "grad_h_n": h_n, "grad_c_n": c_n}
        return [
            tensor.register_hook(self._keeper(name))
            for name, tensor in named.items()
            if tensor is not None and tensor.requires_grad
        ]

    def finish(self) -> tuple[tuple[TimeGradient, ...], Gap | None]:
        """The gradient at each time step; call it before the optimizer moves the weights.

        Returns:
            By layer and direction, and why there is nothing if there is nothing.
        """
        found = time_step_gradients(self._module, self._x, self._hx, rng_state=self._rng_state, **self._gradients)
        self._gradients.clear()
        self._x = self._hx = self._rng_state = None
        return tuple(TimeGradient(part.layer, part.reverse, part.rms) for part in found.layers), found.gap

    def _keeper(self, name: str) -> Any:
        def keep(gradient: Tensor) -> None:
            self._gradients[name] = gradient.detach()

        return keep


def _detached(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return PackedSequence(value.data.detach(), value.batch_sizes, value.sorted_indices, value.unsorted_indices)
    if isinstance(value, tuple):
        return tuple(_detached(item) for item in value)
    return value.detach() if isinstance(value, Tensor) else value


def rng_before(module: nn.Module) -> Tensor | None:
    """The CPU's random state if the module is about to draw masks of dropout between its layers."""
    draws = isinstance(module, nn.RNNBase) and module.training and module.dropout > 0 and module.num_layers > 1
    return torch.get_rng_state() if draws else None
