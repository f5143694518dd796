"""The state an activation is in: its derivative, saturated elements and dead units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.kernels import generic
from headwater.kernels.ledger import NARROW, dense
from headwater.kernels.reference import FLOAT32_TINY, SATURATION_SHARE
from headwater.theory import ACTIVATIONS, Activation

_ONE_SLOPE_EACH_SIDE = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25}
_SLOPE_NAME = {"leaky_relu": "negative_slope", "prelu": "weight"}
_JUMP = 0.05  # of the largest |φ′|: within a cell, a 128th of |x| wide, no smooth φ′ changes by as much


@dataclass(frozen=True)
class ActivationState:
    """What an activation's inputs say about it; states of several calls become one by :meth:`merge`.

    Attributes:
        square_sum: Σ φ′² over the inputs with a finite φ′.
        finite: How many those are.
        saturated: Elements with |φ′| below 5 % of its maximum.
        count: Elements.
        alive: For each unit whether φ′ was anything but zero for some observation.
        observations: Samples (and positions) seen of each unit.
    """

    square_sum: float
    finite: int
    saturated: int
    count: int
    alive: NDArray[np.bool_]
    observations: int

    @property
    def derivative_rms(self) -> float | None:
        """√E[φ′²] over the inputs."""
        return math.sqrt(self.square_sum / self.finite) if self.finite else None

    @property
    def saturated_fraction(self) -> float | None:
        return self.saturated / self.count if self.count else None

    @property
    def dead_fraction(self) -> float | None:
        """Share of units whose φ′ was zero for every observation."""
        return float(np.mean(~self.alive)) if self.count else None

    @property
    def units(self) -> int:
        return len(self.alive)

    def merge(self, other: ActivationState) -> ActivationState:
        """Both together; of units that do not correspond (another width) those of the later call stand."""
        same = self.alive.shape == other.alive.shape
        return ActivationState(
            square_sum=self.square_sum + other.square_sum,
            finite=self.finite + other.finite,
            saturated=self.saturated + other.saturated,
            count=self.count + other.count,
            alive=self.alive | other.alive if same else other.alive,
            observations=self.observations + other.observations if same else other.observations,
        )

    @staticmethod
    def merge_all(states: Iterable[ActivationState]) -> ActivationState | None:
        """All of them together, ``None`` for none."""
        merged: ActivationState | None = None
        for state in states:
            merged = state if merged is None else merged.merge(state)
        return merged


def activation_state(activation: Activation, x: Tensor, parameters: dict[str, Any], unit_axis: int) -> ActivationState:
    """The state of ``activation`` at the inputs ``x``, read in one pass.

    Args:
        activation: Which function.
        x: Its input, units in one dimension, observations in the others.
        parameters: Its slopes or bounds; a tensor of slopes holds one per channel.
        unit_axis: The dimension that counts units, where there are more than two.
    """
    x = x.detach()
    if x.is_neg():
        x = x.resolve_neg()
    axis = unit_axis if x.dim() > 2 else -1
    several_slopes = parameters and any(isinstance(p, Tensor) and p.numel() > 1 for p in parameters.values())
    if several_slopes or x.dtype not in NARROW or not x.is_cpu or x.layout is not torch.strided:
        return _element_by_element(activation, x, parameters, axis)
    values, outer, units, inner = _layout(x, axis)
    alive = np.zeros(units, np.uint8)
    shape = (NARROW[x.dtype], values.data_ptr(), outer, units, inner)
    numbers = {name: _number(value) for name, value in parameters.items()} if parameters else parameters
    count = values.numel()
    sums = _two_slopes if activation.id in _ONE_SLOPE_EACH_SIDE else _any_slope
    square, finite, saturated = sums(activation, numbers, shape, alive)
    return ActivationState(square, finite, saturated, count, alive.view(bool), count // units if units else 0)


def _two_slopes(
    activation: Activation, parameters: dict[str, Any], shape: tuple[int, ...], alive: NDArray[np.uint8]
) -> tuple[float, int, int]:
    """Of a piecewise linear rectifier: 1 above zero, another slope from zero down."""
    from headwater.kernels import cpu

    slope = parameters.get(_SLOPE_NAME.get(activation.id, ""), _ONE_SLOPE_EACH_SIDE[activation.id])
    kind, address, outer, units, inner = shape
    above, nan_count = cpu.rectified(kind, address, outer, units, inner, alive)
    below = outer * units * inner - above - nan_count
    if slope:
        alive[:] = 1  # where the input is NaN too
    threshold = SATURATION_SHARE * max(1.0, abs(slope))
    saturated = below * (abs(slope) < threshold) + above * (threshold > 1.0)
    if not math.isfinite(slope):
        return float(above), above, saturated
    return above + below * slope**2, above + below, saturated


def _any_slope(
    activation: Activation, parameters: dict[str, Any], shape: tuple[int, ...], alive: NDArray[np.uint8]
) -> tuple[float, int, int]:
    from headwater.kernels import cpu

    table = _table(activation.id, tuple(sorted(parameters.items())))
    sums = np.zeros(3)
    kind, address, outer, units, inner = shape
    starts, rises, jumps = table.starts.ctypes.data, table.rises.ctypes.data, table.jumps.ctypes.data
    results = sums.ctypes.data, alive.ctypes.data
    cpu.slopes(kind, address, outer, units, inner, starts, rises, jumps, len(table.jumps), table.threshold, *results)
    return float(sums[0]), int(sums[1]), int(sums[2])


@dataclass(frozen=True)
class _SlopeTable:
    """φ′ for every float32: a value and a rise for each upper half of its bits, or where in that cell it jumps."""

    starts: NDArray[np.float32]
    rises: NDArray[np.float32]
    jumps: NDArray[np.void]
    threshold: float


@cache
def _table(activation_id: str, parameters: tuple[tuple[str, Any], ...]) -> _SlopeTable:
    from headwater.kernels import cpu

    activation, settings = ACTIVATIONS[activation_id], dict(parameters)
    slope = partial(_slope, activation, settings)
    cells = np.arange(cpu.CELLS, dtype=np.uint32) << np.uint32(16)
    starts, ends = slope(cells), slope(cells + np.uint32(0xFFFF))
    jumping = np.flatnonzero(_apart(starts, ends, _JUMP * np.nanmax(np.abs(starts))))
    jumps = [_jump(slope, int(cells[i]), starts[i], ends[i]) for i in jumping]
    with np.errstate(invalid="ignore"):
        rises = np.where(np.isfinite(ends - starts), (ends - starts) / 0xFFFF, 0.0)
    starts[jumping], rises[jumping] = math.nan, 0.0
    return _SlopeTable(
        starts=starts.astype(np.float32),
        rises=rises.astype(np.float32),
        jumps=np.array(jumps, cpu.JUMP),
        threshold=SATURATION_SHARE * activation.max_slope(**settings),
    )


def _slope(activation: Activation, parameters: dict[str, Any], bits: NDArray[np.uint32]) -> NDArray[np.float64]:
    """φ′ at the float32 with these bits; what float32 cannot tell from zero is its smallest normal number instead."""
    with np.errstate(all="ignore"):
        slope = np.broadcast_to(activation.derivative(_as_float64(bits), **parameters), bits.shape)
    return np.where((slope != 0) & (np.abs(slope) < FLOAT32_TINY), np.copysign(FLOAT32_TINY, slope), slope)


def _as_float64(bits: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Also where the CPU takes subnormal numbers for zero."""
    magnitude = bits & np.uint32(0x7FFFFFFF)
    values = bits.view(np.float32).astype(np.float64)
    return np.where(magnitude < 1 << 23, np.copysign(magnitude * 2.0**-149, values), values)


def _apart(start: Any, end: Any, jump: float) -> Any:
    """Whether slopes are of two kinds: one of them NaN or zero and the other not, or further apart than ``jump``."""
    kinds = (np.isnan(start) != np.isnan(end)) | ((start == 0) != (end == 0))
    return kinds | (np.abs(end - start) > jump)


def _jump(slope: Callable[..., Any], cell: int, start: float, end: float) -> tuple[int, float, float]:
    """Where in a cell φ′ goes over from ``start`` to ``end``, found by bisection."""
    first, last = cell, cell + 0xFFFF  # φ′ is like ``start`` at the first and like ``end`` at the last
    jump = abs(end - start) / 2
    while last - first > 1:
        middle = (first + last) // 2
        if _apart(start, slope(np.array([middle], np.uint32))[0], jump):
            last = middle
        else:
            first = middle
    return last, start, end


def _layout(x: Tensor, axis: int) -> tuple[Tensor, int, int, int]:
    """The values in one piece of memory, as (outer, units, inner); a vector is one unit seen once per element."""
    if x.dim() < 2:
        return dense(x), x.numel(), 1, 1
    axis %= x.dim()
    if not x.is_contiguous():
        if x.dim() == 4 and axis == 1 and x.is_contiguous(memory_format=torch.channels_last):
            return dense(x), x.numel() // max(1, x.shape[1]), x.shape[1], 1
        x = x.contiguous()
    return x, math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])


def _element_by_element(activation: Activation, x: Tensor, parameters: dict[str, Any], axis: int) -> ActivationState:
    """In float64, for what the compiled kernel does not read."""
    values = generic.plain(x).to("cpu", torch.float64).numpy()
    with np.errstate(all="ignore"):  # an overflow here is the model's, and it is counted
        derivative = activation.derivative(values, **{name: _broadcast(p, x) for name, p in parameters.items()})
    slopes = np.broadcast_to(derivative, values.shape)
    finite = slopes[np.isfinite(slopes)]
    threshold = SATURATION_SHARE * activation.max_slope(**_scalars(parameters))
    units = x.shape[axis] if x.dim() > 1 else 1
    observations = slopes.size // units if units else 0
    rows = (np.moveaxis(slopes, axis, -1) if x.dim() > 1 else slopes).reshape(observations, units)
    return ActivationState(
        square_sum=float(np.sum(finite**2)),
        finite=len(finite),
        saturated=int(np.sum(np.abs(slopes) < threshold)),
        count=slopes.size,
        alive=np.any(rows != 0, axis=0),
        observations=observations,
    )


def _broadcast(parameter: Any, x: Tensor) -> Any:
    """A per-channel parameter shaped to stand beside ``x``, whose channels are in dimension 1."""
    if not isinstance(parameter, Tensor):
        return parameter
    values = parameter.detach().to("cpu", torch.float64)
    if values.numel() == 1:
        return float(values)
    return values.reshape([1, -1] + [1] * (x.dim() - 2)).numpy()


def _number(parameter: Any) -> Any:
    """A parameter that the table of slopes can be kept by; torch warns of numbers taken from what is trained."""
    if isinstance(parameter, Tensor):
        return float(parameter.detach())
    return float(parameter) if isinstance(parameter, int) else parameter


def _scalars(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for the largest slope; of per-channel slopes the steepest."""
    return {
        name: float(parameter.detach().abs().max()) if isinstance(parameter, Tensor) else parameter
        for name, parameter in parameters.items()
    }
