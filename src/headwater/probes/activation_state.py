"""The state an activation is in: its derivative, saturated elements and dead units."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headwater.kernels import generic
from headwater.theory import Activation


@dataclass(frozen=True)
class ActivationState:
    """What an activation's inputs, and then its outputs, say about it.

    Attributes:
        derivative_rms: √E[φ′²] over the inputs.
        saturated_fraction: Share of elements with |φ′| below 5 % of its maximum.
        derivative: φ′ at the inputs as (observations, units), until the outputs are there.
        unit_axis: Dimension of the input that counts units.
        dead_fraction: Share of dead units, known once the outputs are.
        observations: Rows of ``derivative``.
        units: Columns of ``derivative``.
    """

    derivative_rms: float | None
    saturated_fraction: float | None
    derivative: Tensor | None
    unit_axis: int
    dead_fraction: float | None = None
    observations: int = 0
    units: int = 0

    def with_output(self, output: Tensor) -> "ActivationState":
        """The state with its dead units counted; the derivative is let go."""
        rows = as_units(generic.plain(output).cpu(), self.unit_axis)
        return replace(
            self,
            derivative=None,
            dead_fraction=generic.dead_fraction(rows, self.derivative),
            observations=rows.shape[0],
            units=rows.shape[1],
        )


def activation_state(activation: Activation, x: Tensor, parameters: dict[str, Any], unit_axis: int) -> ActivationState:
    """The state of ``activation`` at the inputs ``x``.

    Args:
        activation: Which function.
        x: Its input, units in one dimension, observations in the others.
        parameters: Its slopes or bounds; a tensor of slopes holds one per channel.
        unit_axis: The dimension that counts units, where there are more than two.
    """
    axis = unit_axis if x.dim() > 2 else -1
    values = generic.plain(x).to("cpu", torch.float64).numpy()
    with np.errstate(all="ignore"):  # an overflow here is the model's, and it is counted
        derivative = activation.derivative(values, **{name: _broadcast(p, x) for name, p in parameters.items()})
    slopes = torch.from_numpy(np.array(np.broadcast_to(derivative, values.shape)))
    return ActivationState(
        derivative_rms=generic.moments(slopes).rms,
        saturated_fraction=generic.saturated_fraction(slopes, activation.max_slope(**_scalars(parameters))),
        derivative=as_units(slopes, axis),
        unit_axis=axis,
    )


def as_units(x: Tensor, axis: int) -> Tensor:
    """``x`` as (observations, units); a vector is one unit seen once per element."""
    return x.reshape(-1, 1) if x.dim() < 2 else x.movedim(axis, -1).reshape(-1, x.shape[axis])


def _broadcast(parameter: Any, x: Tensor) -> Any:
    """A per-channel parameter shaped to stand beside ``x``, whose channels are in dimension 1."""
    if not isinstance(parameter, Tensor):
        return parameter
    values = parameter.detach().to("cpu", torch.float64)
    if values.numel() == 1:
        return float(values)
    return values.reshape([1, -1] + [1] * (x.dim() - 2)).numpy()


def _scalars(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for the largest slope; of per-channel slopes the steepest."""
    return {
        name: float(parameter.detach().abs().max()) if isinstance(parameter, Tensor) else parameter
        for name, parameter in parameters.items()
    }
