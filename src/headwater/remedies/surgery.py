"""Apply remedies to a copy of a model and of its optimizer."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from headwater.records import InputError
from headwater.remedies.edits import Edit, as_code
from headwater.remedies.order import Order
from headwater.remedies.registry import find


def apply_remedies(
    model: nn.Module,
    remedies: Sequence[str],
    order: Order,
    optimizer: torch.optim.Optimizer | None = None,
    seed: int = 0,
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """A changed copy of the model, and of the optimizer with its groups re-bound to the copy's parameters.

    Args:
        model: Left as it is.
        remedies: Remedy ids, applied in this order.
        order: The model's execution order.
        optimizer: Left as it is. In the copy, state of weights that were drawn anew is dropped, new parameters join
            the first group, parameters that are gone leave theirs.
        seed: Seed of newly drawn weights.

    Raises:
        InputError: If a remedy is unknown or not applicable, or the model cannot be copied.
    """
    edits = plan(model, remedies, order, seed)
    changed, changed_optimizer = _copies(model, optimizer)
    before = list(changed.parameters())
    for edit in edits:
        edit.apply(changed)
    if changed_optimizer is not None:
        _rebind(changed_optimizer, changed, before, edits)
    return changed, changed_optimizer


def patch(model: nn.Module, remedies: Sequence[str], order: Order, seed: int = 0) -> str:
    """Python code whose ``repair(model)`` makes exactly the change that :func:`apply_remedies` makes.

    Raises:
        InputError: As :func:`apply_remedies`.
    """
    return as_code(plan(model, remedies, order, seed))


def plan(model: nn.Module, remedies: Sequence[str], order: Order, seed: int) -> tuple[Edit, ...]:
    """The edits of several remedies; an initialisation after a swap sees the activations the swap will have put in."""
    edits: list[Edit] = []
    for remedy_id in remedies:
        for edit in find(remedy_id).plan(model, order, seed):
            edits.append(edit)
            order = edit.order_after(order)
    return tuple(edits)


def _copies(
    model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Copies made together, so that the optimizer's groups hold the copied parameters."""
    try:
        return copy.deepcopy((model, optimizer))
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}). A remedy works on a copy: "
            "drop tensors with a graph that the model holds, or build a fresh one and hand that over."
        ) from error


def _rebind(
    optimizer: torch.optim.Optimizer, model: nn.Module, before: list[nn.Parameter], edits: tuple[Edit, ...]
) -> None:
    """Let the optimizer hold the changed model's parameters; what it was not given before it is not given now."""
    present = {id(parameter) for parameter in model.parameters()}
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) in present]
    for name in (name for edit in edits for name in edit.redrawn):
        for parameter in model.get_submodule(name).parameters():
            optimizer.state.pop(parameter, None)
    known = {id(parameter) for parameter in before}
    optimizer.param_groups[0]["params"] += [p for p in model.parameters() if id(p) not in known]
