"""One weight of a larger network, where it leaves the gradient's way: the error of its unit times what it multiplies.

∂L/∂W[i,j] = Σ δ_i a_j over samples (and, of a convolution, over places): a scalar product, ‖δ_i‖ · ‖a_j‖ · cos. With
one sample and one place these are two numbers, and the gradient is their product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call

from headwater.records import Arrival, Comparison, Signed
from headwater.tracing.backward import Gradient, vjp
from headwater.tracing.capture import Operation
from headwater.tracing.checks import held, relative
from headwater.tracing.passes import Pass
from headwater.tracing.scaled import Scaled, log10_norm

_MULTIPLIES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMAL = 1e-290  # below, autograd's own number has lost digits and is no reference


def arrival_of(
    done: Pass, gradients: list[Gradient], name: str, index: tuple[int, ...], raw: float, allowed: float
) -> tuple[Arrival, Comparison | None] | None:
    """What the gradient of one element of a weight or bias is made of, and that held against autograd.

    Args:
        done: The pass.
        gradients: Between its operations, from the loss to the input.
        name: Of a parameter.
        index: Of the element.
        raw: Its gradient by autograd in one backward pass.
        allowed: Largest difference, relative to the norms of what is multiplied.

    Returns:
        ``None`` where the parameter belongs to no linear or convolutional layer, or to one that runs several times, or
        the loss takes it by itself as well.
    """
    parameter = done.parameter(name)
    found = [op for op in done.capture.operations if op.module is not None and _holds(op.module, parameter)]
    if len(found) != 1 or type(found[0].module) not in _MULTIPLIES or found[0].x is None:
        return None
    operation = found[0]
    edge = get_gradient_edge(parameter)
    if done.graph.reached_beside(operation.edge, edge):
        return None
    passed = done.graph.cut_for(edge, done.segments)
    if not passed:
        return None
    error = _error(done, operation, gradients, passed)
    multiplied = _multiplied(operation, name.rpartition(".")[2], index)
    unit = (_of_unit(error.tensor, operation, index[0]), _of_unit(multiplied, operation, index[0]))
    arrival = _arrival(operation, error, passed, index[0], *unit)
    return arrival, _checked(error, *unit, raw, allowed)


def _holds(module: nn.Module, parameter: Tensor) -> bool:
    return any(own is parameter for own in module._parameters.values())


def _error(done: Pass, operation: Operation, gradients: list[Gradient], passed: int) -> Gradient:
    """∂L/∂output of the operation: at a cut as it is, beside a shortcut from the last cut on."""
    segment, before = done.segments[len(done.segments) - passed], gradients[passed - 1]
    if segment.end.node is operation.edge.node:
        return before
    return Gradient(vjp(segment.end, operation.edge, before.tensor).reshape(operation.shape), before.exponent)


def _multiplied(operation: Operation, own: str, index: tuple[int, ...]) -> Tensor:
    """What the element multiplies, wherever it reaches: the operation's output if it were 1 and all others 0."""
    module, x = operation.module, operation.x
    assert module is not None
    assert x is not None
    alone = {name: torch.zeros_like(p) for name, p in module.named_parameters(recurse=False)}
    with torch.no_grad():
        alone[own][index] = 1
        return functional_call(module, alone, (x,)).reshape(operation.shape)


def _weight_of(module: nn.Module) -> Tensor:
    weight = module.weight  # also one that a parametrization gives
    assert isinstance(weight, Tensor)
    return weight


def _of_unit(tensor: Tensor, operation: Operation, unit: int) -> Tensor:
    assert operation.module is not None
    places = 0 if isinstance(operation.module, nn.Linear) else _weight_of(operation.module).dim() - 2
    return tensor.select(tensor.dim() - 1 - places, unit).reshape(-1)


def _arrival(
    operation: Operation, error: Gradient, passed: int, unit: int, errors: Tensor, activations: Tensor
) -> Arrival:
    count = errors.numel()
    norms = float(errors.norm()), float(activations.norm())
    if count == 1:
        alignment, sizes = 1.0, (float(errors), float(activations))
    else:
        product = norms[0] * norms[1]
        alignment, sizes = (float(errors @ activations) / product if product else 0.0), norms
    return Arrival(
        name=operation.name,
        op=operation.op,
        passed=passed - 1,
        unit=unit,
        log10_error=error.log10_norm,
        error=Scaled.of(sizes[0], error.exponent).signed(),
        activation=sizes[1],
        alignment=alignment,
        count=count,
    )


def _checked(error: Gradient, errors: Tensor, activations: Tensor, raw: float, allowed: float) -> Comparison | None:
    """The product against autograd, in units of the norms multiplied."""
    if 0 < abs(raw) < _NORMAL or (raw == 0 and bool((errors * activations).any())):
        return None  # autograd's own number has underflowed
    value = math.ldexp(float(errors @ activations), error.exponent)
    scale = 10.0 ** min(error.log10_norm + log10_norm(activations), 300.0)
    difference = relative(abs(value - raw), scale)
    return held("own", Signed.of(value), Signed.of(raw), difference, allowed, errors.numel())
