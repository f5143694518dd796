"""What one step shows of the parameters: their gradients, and how the optimizer really moved them."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from headwater.kernels import generic
from headwater.probes.names import clean
from headwater.records import InputError, ParameterFlow


def parameter_flows(
    model: nn.Module, optimizer: torch.optim.Optimizer | None, closure: Callable[[], Tensor]
) -> tuple[ParameterFlow, ...]:
    """Measure every parameter; with an optimizer, let it take its step (the caller puts the weights back).

    Args:
        model: After a backward pass, gradients in ``.grad``.
        optimizer: Made over the model's parameters, or ``None``.
        closure: Computes the loss and its gradients again, for optimizers that ask for it (LBFGS).
    """
    names = _names_by_parameter(model)
    flows = {parameter: _measured(parameter, aliases) for parameter, aliases in names.items()}
    if optimizer is None:
        return tuple(flows.values())
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    before = {parameter: parameter.detach().clone() for parameter in names}
    _step(optimizer, closure)
    return tuple(
        _with_update(flow, before[parameter], parameter, id(parameter) in held) for parameter, flow in flows.items()
    )


def _names_by_parameter(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    names: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[parameter].append(clean(name))
    return dict(names)


def _measured(parameter: nn.Parameter, names: list[str]) -> ParameterFlow:
    gradient = parameter.grad
    dense = None if gradient is None else generic.plain(gradient)
    return ParameterFlow(
        name=names[0],
        aliases=tuple(names[1:]),
        shape=tuple(parameter.shape),
        dtype=str(parameter.dtype).removeprefix("torch."),
        trainable=parameter.requires_grad,
        value=generic.moments(parameter),
        grad=None if dense is None else generic.moments(dense),
        sign_coherence=generic.sign_coherence(dense) if dense is not None and dense.dim() > 1 else None,
    )


def _step(optimizer: torch.optim.Optimizer, closure: Callable[[], Tensor]) -> None:
    with naming_errors(optimizer):
        _step_in_its_way(optimizer, closure)


@contextmanager
def naming_errors(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Errors of the user's optimizer as such: sparse gradients it does not take, a learning rate it cannot use.

    Raises:
        InputError: If the block raises.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{type(optimizer).__name__}.step() raised {type(error).__name__}: {error}") from error


def _step_in_its_way(optimizer: torch.optim.Optimizer, closure: Callable[[], Tensor]) -> None:
    wanted = inspect.signature(type(optimizer).step).parameters.get("closure")
    if wanted is not None and wanted.default is inspect.Parameter.empty:
        optimizer.step(lambda: float(closure().detach()))
    else:
        optimizer.step()


def _with_update(flow: ParameterFlow, before: Tensor, parameter: nn.Parameter, held: bool) -> ParameterFlow:
    after = parameter.detach()
    return replace(
        flow,
        in_optimizer=held,
        update_ratio=generic.update_ratio(before, after),
        unchanged_fraction=generic.unchanged_fraction(before, after),
        spoiled=int((torch.isfinite(before) & ~torch.isfinite(after)).sum()),
    )
