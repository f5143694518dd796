"""The step an optimizer effectively makes: what it meant to add to the weights, and how much of it arrived."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    SparseAdam,
)

from headwater.kernels import generic

_CHUNK = 1 << 20  # elements converted to float64 at a time

# They divide by √v + ε, Adamax by max(u, |g| + ε).
_BESIDE_THE_ROOT = (Adam, AdamW, NAdam, RAdam, Adamax, SparseAdam, RMSprop, Adagrad)


def epsilon_of(optimizer: Optimizer, parameter: Tensor) -> float | None:
    """The ε below which a gradient of ``parameter`` does not set the size of its own step any more.

    Optimizers that divide by a root of the second moment make steps of one size whatever the gradient's, down to
    gradients about as small as the ε beside that root. Optimizers of other packages count if Adam is in their name.

    Args:
        optimizer: Any optimizer.
        parameter: One of its parameters.

    Returns:
        ε in units of the gradient; ``None`` if the optimizer has none, or does not hold the parameter.
    """
    group = _group_of(optimizer, parameter)
    if group is None:
        return None
    epsilon: Any = group.get("eps")
    if isinstance(optimizer, Adafactor):
        return float(torch.finfo(parameter.dtype).eps if epsilon[0] is None else epsilon[0])
    if isinstance(optimizer, Adadelta):
        return math.sqrt(epsilon)  # it stands under the root, beside v
    if isinstance(optimizer, _BESIDE_THE_ROOT) or "adam" in type(optimizer).__name__.lower():
        return float(epsilon) if isinstance(epsilon, (int, float)) else None
    return None


def below_epsilon_fraction(gradient: Tensor, epsilon: float) -> float | None:
    """Share of non-zero entries smaller than ε; the meaning is ``reference.below_epsilon_fraction``.

    Args:
        gradient: Any shape, dtype and layout; of a sparse one the stored values count.
        epsilon: What :func:`epsilon_of` gave, in units of the gradient.
    """
    nonzero = below = 0
    for (chunk,) in _chunks(gradient):
        nonzero += int(chunk.count_nonzero())
        below += int(((chunk != 0) & (chunk.abs() < epsilon)).sum())
    return below / nonzero if nonzero else None


def lost_to_rounding_fraction(update: Tensor, weight: Tensor) -> float | None:
    """Share of non-zero updates rounded away by the weight's dtype; ``reference.lost_to_rounding_fraction``.

    Beyond the definition, zero and numbers near it have the spacing of subnormals, which in float16 begin at 6e-5. A
    weight that is not finite loses nothing.

    Args:
        update: Δw as computed, before it is added, in a dtype that holds it; any shape.
        weight: w before the step in its own dtype, the same shape.
    """
    spacing = torch.finfo(weight.dtype)
    moving = lost = 0
    for chunk, weights in _chunks(update, weight):
        moving += int(chunk.count_nonzero())
        lost += int(((chunk != 0) & (chunk.abs() < _room(weights, chunk, spacing) / 2)).sum())
    return lost / moving if moving else None


def intended_update(optimizer: Optimizer, parameter: Tensor, before: Tensor, gradient: Tensor | None) -> Tensor | None:
    """Δw as SGD, Adam and AdamW compute it, before it is rounded into the weight's dtype.

    Recomputed from the state that the step left behind: call it after ``optimizer.step()`` and before anything else
    (a scheduler) touches the optimizer. For Adam Δw = -η (m̂ / (√v̂ + ε)), with decoupled decay also -η λ w; for SGD
    Δw = -η b, with Nesterov's momentum -η (g + μ b).

    Args:
        optimizer: After its step.
        parameter: One of its parameters, to find its group and state by.
        before: The weights before the step, shaped as the parameter.
        gradient: Its gradient at the step, without the factor of a loss scaler; ``None`` if it had none.

    Returns:
        Δw in float64, shaped as the parameter; ``None`` for other optimizers, for subclasses with a step of their own,
        for complex parameters, and where no step was made.

    Source:
        Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; Reddi et al. 2018, arXiv:1904.09237, algorithm 2 (AMSGrad);
        Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; Sutskever et al. 2013, section 2 (Nesterov), in the
        forms that torch.optim gives them.
    """
    group = _group_of(optimizer, parameter)
    if group is None or gradient is None or parameter.is_complex():
        return None
    state = optimizer.state.get(parameter, {})
    if _steps_as(optimizer, SGD):
        return _sgd_update(group, state, before, gradient)
    if _steps_as(optimizer, AdamW):
        return _adam_update(group, state, before, decoupled=group.get("decoupled_weight_decay", True))
    if _steps_as(optimizer, Adam):
        return _adam_update(group, state, before, decoupled=group.get("decoupled_weight_decay", False))
    return None


def _group_of(optimizer: Optimizer, parameter: Tensor) -> dict[str, Any] | None:
    return next((g for g in optimizer.param_groups if any(held is parameter for held in g["params"])), None)


def _steps_as(optimizer: Optimizer, kind: type[Optimizer]) -> bool:
    """Whether it makes the step of ``kind``; torch wraps ``step`` in every class of which there is an instance."""
    return isinstance(optimizer, kind) and inspect.unwrap(type(optimizer).step) is inspect.unwrap(kind.step)


def _sgd_update(group: dict[str, Any], state: dict[str, Any], before: Tensor, gradient: Tensor) -> Tensor | None:
    direction = -_dense(gradient) if group["maximize"] else _dense(gradient)
    direction = direction + float(group["weight_decay"]) * _dense(before)
    momentum = float(group["momentum"])
    if momentum:
        buffer = state.get("momentum_buffer")
        if buffer is None:
            return None
        direction = direction + momentum * _dense(buffer) if group["nesterov"] else _dense(buffer)
    return direction * -float(group["lr"])


def _adam_update(group: dict[str, Any], state: dict[str, Any], before: Tensor, decoupled: bool) -> Tensor | None:
    """A decay that is not decoupled, and the sign of a maximisation, are in the moments already."""
    if "exp_avg" not in state:
        return None
    beta1, beta2 = (float(beta) for beta in group["betas"])
    step, lr = float(state["step"]), float(group["lr"])
    second = _dense(state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]) / (1 - beta2**step)
    update = _dense(state["exp_avg"]) / (1 - beta1**step) / (second.sqrt() + float(group["eps"])) * -lr
    return update - lr * float(group["weight_decay"]) * _dense(before) if decoupled else update


def _dense(tensor: Tensor) -> Tensor:
    """The values in float64, with the zeros that a sparse tensor does not store."""
    return generic.plain(tensor.detach().to_dense()).to(torch.float64)


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors side by side in float64, a few elements at a time, so that none is held twice."""
    flat = [generic.plain(tensor).reshape(-1) for tensor in tensors]
    for start in range(0, flat[0].numel(), _CHUNK):
        yield tuple(values[start : start + _CHUNK].to(torch.float64) for values in flat)


def _room(weight: Tensor, update: Tensor, spacing: torch.finfo) -> Tensor:
    """Distance from each weight to the next number of its dtype in the direction of its update.

    Towards zero that of a power of two is half as large, unless it is the smallest normal number.
    """
    size = weight.abs()
    mantissa, _ = torch.frexp(size)
    # Over the mantissa a number is the power of two below or at it, exactly; `ldexp` would make that power a float32.
    room = torch.where(weight == 0, 0.0, size * (spacing.eps / 2) / mantissa)
    inwards = (mantissa == 0.5) & (weight.sign() == -update.sign())
    return torch.where(inwards, room / 2, room).clamp(min=spacing.smallest_normal * spacing.eps)
