"""What is looked at beside the numbers, when somebody looks: histograms, masks, units, the boundary between classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from headwater.lab.slot import Slot
from headwater.probes.classify import activation_of, activation_parameters, scalar_parameters
from headwater.records import encode
from headwater.theory import ACTIVATIONS
from headwater.theory.activation import Activation

VIEWS = ("histograms", "weights", "inputs", "mask", "boundary", "units")
_SAMPLES = 256
_BINS, _WEIGHT_BINS = 30, 40
_UNITS = 128
_SMALL = 1e-3
"""Below it a weight counts as none: that of the lesson on L1."""
_SATURATED = 0.05
"""Of the largest |φ′|, as the probes have it."""
_GRID = 40
_POINTS = 400
_LINE = 200


def details_of(slot: Slot, views: tuple[str, ...]) -> dict[str, Any]:
    """What a network shows in some views; ``None`` where it has nothing to show there."""
    asked = [view for view in VIEWS if view in views]
    found: dict[str, Any] = {"version": slot.version, "step": slot.step}
    with torch.no_grad(), slot.rehearsing():
        passed = _pass(slot, slot.network.split.x[:_SAMPLES]) if {"histograms", "inputs", "units"} & set(asked) else []
        for view in asked:
            found[view] = _MAKERS[view](slot, passed)
    data: dict[str, Any] = encode(found)
    return data


class _Passed:
    """One site of a forward pass: what went in and what came out."""

    def __init__(self, index: int, module: nn.Module, before: Tensor, after: Tensor) -> None:
        self.index, self.module = index, module
        self.before, self.after = before, after
        self.activation: Activation | None = activation_of(module)


def _pass(slot: Slot, x: Tensor) -> list[_Passed]:
    """A forward pass in training mode, as the steps are; batch statistics stay as they were."""
    model = slot.network.model
    place = {row.site.module: index for index, row in enumerate(slot.flow.sites)}
    found: list[_Passed] = []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and inputs and isinstance(inputs[0], Tensor):
                found.append(_Passed(place[name], module, inputs[0].clone(), output.clone()))

        return hook

    handles = [m.register_forward_hook(note(name)) for name, m in model.named_modules() if name in place]
    try:
        with _statistics_kept(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def _histograms(slot: Slot, passed: list[_Passed]) -> dict[str, Any] | None:
    return _binned([(one.index, one.after) for one in passed if one.activation is not None])


def _inputs(slot: Slot, passed: list[_Passed]) -> dict[str, Any] | None:
    return _binned([(one.index, one.before) for one in passed if one.activation is not None])


def _binned(tensors: list[tuple[int, Tensor]]) -> dict[str, Any] | None:
    if not tensors:
        return None
    rows = [_counts(tensor, _BINS) for _, tensor in tensors]
    return {
        "sites": [index for index, _ in tensors],
        "low": [low for low, _, _ in rows],
        "high": [high for _, high, _ in rows],
        "counts": [counts for _, _, counts in rows],
    }


def _counts(tensor: Tensor, bins: int) -> tuple[float | None, float | None, list[int]]:
    """Range and counts of the finite elements."""
    values = tensor.reshape(-1).double()
    values = values[values.isfinite()]
    if not len(values):
        return None, None, [0] * bins
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    return low, high, torch.histc(values, bins, low, high).int().tolist()


def _weights(slot: Slot, passed: list[_Passed]) -> dict[str, Any]:
    matrices = [p.detach() for _, p in slot.network.model.named_parameters() if p.dim() > 1]
    every = torch.cat([matrix.reshape(-1) for matrix in matrices])
    low, high, _ = _counts(every, 1)
    edge = max(abs(low or 0.0), abs(high or 0.0)) or 1.0
    counts = [torch.histc(m.double(), _WEIGHT_BINS, -edge, edge).int().tolist() for m in matrices]
    small = [float((m.abs() < _SMALL).double().mean()) for m in matrices]
    return {"low": -edge, "high": edge, "counts": counts, "small": small}


def _mask(slot: Slot, passed: list[_Passed]) -> dict[str, Any] | None:
    """Which units dropout will let through in the next step, for its first sample."""
    with slot.rehearsing():
        passed = _pass(slot, slot.network.batches.peek()[0])
    dropped = [one for one in passed if isinstance(one.module, nn.Dropout)]
    if not dropped:
        return None
    kept = [((one.after[0] != 0) | (one.before[0] == 0)).reshape(-1)[:_UNITS].int().tolist() for one in dropped]
    return {"sites": [one.index for one in dropped], "units": kept}


def _units(slot: Slot, passed: list[_Passed]) -> dict[str, Any] | None:
    """Of every activation's units, which are dead and how often each is saturated, over the first samples."""
    found = [one for one in passed if one.activation is not None]
    if not found:
        return None
    dead, saturated = [], []
    for one in found:
        assert one.activation is not None
        parameters = scalar_parameters(activation_parameters(one.activation, one.module))
        slope = torch.from_numpy(one.activation.derivative(one.before.double().numpy(), **parameters)).abs()
        by_unit = slope.transpose(0, 1).reshape(slope.shape[1], -1)[:_UNITS]
        dead.append((by_unit == 0).all(1).int().tolist())
        flat = by_unit < _SATURATED * _steepest(one.activation.id, tuple(sorted(parameters.items())))
        saturated.append(flat.double().mean(1).tolist())
    return {"sites": [one.index for one in found], "dead": dead, "saturated": saturated}


@cache
def _steepest(activation: str, parameters: tuple[tuple[str, float], ...]) -> float:
    """Largest slope of an activation, found on a grid once and not for each layer at each look."""
    return ACTIVATIONS[activation].max_slope(**dict(parameters))


def _boundary(slot: Slot, passed: list[_Passed]) -> dict[str, Any] | None:
    """Classes over the plane of two inputs, or the curve over one."""
    plan, split = slot.network.plan, slot.network.split
    if plan.shape.inputs > 2:
        return None
    with slot.evaluating() as model:
        if plan.shape.inputs == 1:
            low, high = float(split.x.min()), float(split.x.max())
            x = torch.linspace(low, high, _LINE).unsqueeze(1)
            if plan.shape.task == "classes":
                return None
            points = torch.cat([split.x, split.y], 1)[:_POINTS].tolist()
            return {"line": torch.cat([x, model(x)], 1).tolist(), "points": points}
        lowest, highest = (split.x.min(0).values - 0.3).tolist(), (split.x.max(0).values + 0.3).tolist()
        xs, ys = (torch.linspace(lowest[i], highest[i], _GRID) for i in (0, 1))
        grid = torch.stack([xs.repeat(_GRID), ys.repeat_interleave(_GRID)], 1)
        output = model(grid)
    frame = {"x": [lowest[0], highest[0]], "y": [lowest[1], highest[1]], "size": _GRID}
    points = [[*place, told] for place, told in zip(split.x.tolist(), split.y.reshape(-1).tolist(), strict=True)]
    if plan.shape.task == "curve":
        return {**frame, "values": output.reshape(-1).tolist(), "points": points[:_POINTS]}
    sure, classes = output.softmax(1).max(1)
    return {**frame, "classes": classes.tolist(), "sure": sure.tolist(), "points": points[:_POINTS]}


_MAKERS: dict[str, Callable[[Slot, list[_Passed]], dict[str, Any] | None]] = {
    "histograms": _histograms,
    "weights": _weights,
    "inputs": _inputs,
    "mask": _mask,
    "boundary": _boundary,
    "units": _units,
}
