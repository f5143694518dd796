"""Factors by formula: φ′ from the table of activations and weights as they are, not by autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from headwater.theory import Activation
from headwater.tracing.capture import Operation
from headwater.tracing.passes import Pass

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """p = W a + b.

    Attributes:
        operation: What ran.
        weight_name: Of the parameter, the first where it has several.
        bias_name: Likewise; ``""`` without one.
        weight: W, (units after, units before).
        bias: b, (units after), ``None`` without one.
        before: a.
        after: p.
    """

    operation: Operation
    weight_name: str
    bias_name: str
    weight: Array
    bias: Array | None
    before: Array
    after: Array


@dataclass(frozen=True, eq=False)
class Bend:
    """a = φ(p), elementwise.

    Attributes:
        operation: What ran.
        activation: Which φ.
        before: p.
        after: a.
        slope: φ′(p), by the formula of the table.
    """

    operation: Operation
    activation: Activation
    before: Array
    after: Array
    slope: Array


Step = Affine | Bend


def steps_of(done: Pass) -> list[Step] | None:
    """The model as affine maps and activations one after the other; ``None`` if it is anything else."""
    segments = done.model_segments
    if not segments or done.capture.input is None or done.capture.output is None:
        return None
    steps: list[Step] = []
    for segment in segments:
        operation = segment.operation
        if segment.inside or operation.x is None or operation.y is None:
            return None
        step = _affine(operation, done) if operation.kind == "affine" else _bend(operation)
        if step is None:
            return None
        steps.append(step)
    return steps if any(isinstance(step, Affine) for step in steps) else None


def uses_of(steps: list[Step], parameter: str) -> list[int]:
    """Places of the affine maps that a parameter is the weight or bias of: several where it is shared."""
    return [
        place
        for place, step in enumerate(steps)
        if isinstance(step, Affine) and parameter in (step.weight_name, step.bias_name)
    ]


def widths(steps: list[Step]) -> list[int]:
    """Units in each row, the input first."""
    affine = [step for step in steps if isinstance(step, Affine)]
    return [affine[0].before.size, *(step.after.size for step in affine)]


def _affine(operation: Operation, done: Pass) -> Affine | None:
    module = operation.module
    assert operation.x is not None
    assert operation.y is not None
    if type(module) is not nn.Linear or parametrize.is_parametrized(module):
        return None
    if operation.x.numel() != module.in_features or operation.y.numel() != module.out_features:
        return None
    return Affine(
        operation=operation,
        weight_name=done.first_name(module.weight),
        bias_name=done.first_name(module.bias) if module.bias is not None else "",
        weight=numbers(module.weight),
        bias=numbers(module.bias) if module.bias is not None else None,
        before=numbers(operation.x).ravel(),
        after=numbers(operation.y).ravel(),
    )


def _bend(operation: Operation) -> Bend | None:
    if operation.activation is None or operation.x is None or operation.y is None:
        return None
    if operation.x.shape != operation.y.shape:
        return None
    before, after = numbers(operation.x).ravel(), numbers(operation.y).ravel()
    parameters = {name: _plain(value) for name, value in operation.parameters.items()}
    with np.errstate(over="ignore", under="ignore"):
        slope = _slope(operation.activation, before, parameters)
        same = np.allclose(operation.activation.phi(before, **parameters), after, rtol=1e-6, atol=1e-9)
    return Bend(operation, operation.activation, before, after, slope) if same else None


def _slope(activation: Activation, before: Array, parameters: dict[str, Any]) -> Array:
    return np.asarray(activation.derivative(before, **parameters), dtype=np.float64)


def _plain(value: Any) -> Any:
    return numbers(value).ravel() if isinstance(value, Tensor) else value


def numbers(tensor: Tensor) -> Array:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
