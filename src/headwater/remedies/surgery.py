"""Apply remedies to a copy of a model and of its optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from headwater.i18n import speak
from headwater.records import InputError
from headwater.remedies.data import Data, drawing_under
from headwater.remedies.edits import Edit, as_code, copied_model
from headwater.remedies.edits_functions import modules_for_functions
from headwater.remedies.edits_optimizer import actions_of
from headwater.remedies.order import Order
from headwater.remedies.places import CalledAsFunctionError
from headwater.remedies.refusals import refuse_unreachable
from headwater.remedies.registry import find
from headwater.remedies.remedy import Remedy

ADDED_TO_THE_UPDATE = (
    "regularisation.l1",
    "regularisation.l2",
    "regularisation.weight_decay",
    "regularisation.reduce_weight_decay",
)


class RemedyWarning(UserWarning):
    """A remedy was applied, and what came of it is not what it is meant for."""


def apply_remedies(
    model: nn.Module,
    remedies: Sequence[str],
    order: Order,
    optimizer: torch.optim.Optimizer | None = None,
    seed: int = 0,
    data: Data | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """A changed copy of the model, and of the optimizer with its groups re-bound to the copy's parameters.

    Args:
        model: Left as it is.
        remedies: Remedy ids, applied in this order, those of the training after those of the model.
        order: The model's execution order.
        optimizer: Left as it is. In the copy, state of weights that were drawn anew is dropped, new parameters join
            the first group that does not decay its weights, parameters that are gone leave theirs.
        seed: Seed of newly drawn weights.
        data: For remedies that measure on the training data.

    Raises:
        InputError: If a remedy is unknown or not applicable, or the model cannot be copied.
    """
    edits = plan(model, remedies, order, seed, data)
    if optimizer is None and any(edit.optimizer_lines() for edit in edits):
        raise InputError(
            f"{' + '.join(remedies)} changes the optimizer's updates, and there is no optimizer: "
            f"model, optimizer = hw.apply(model, {list(remedies)!r}, optimizer)."
        )
    changed, changed_optimizer = _copies(model, optimizer)
    before = list(changed.parameters())
    for edit in edits:
        edit.apply(changed)
    if changed_optimizer is not None:
        _rebind(changed_optimizer, changed, before, edits)
        repair_optimizer(changed, changed_optimizer, edits)
    for message in (message for edit in edits for message in edit.warnings):
        warnings.warn(speak(message), RemedyWarning, stacklevel=3)
    return changed, changed_optimizer


def repaired(model: nn.Module, edits: Sequence[Edit]) -> nn.Module:
    """A changed copy of the model.

    Raises:
        InputError: If it cannot be copied.
    """
    changed = copied_model(model, {})
    for edit in edits:
        edit.apply(changed)
    return changed


def repair_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, edits: Sequence[Edit]) -> None:
    """Make the edits' changes to an optimizer that was made over the repaired model's parameters.

    Raises:
        InputError: If it moves none of the weights that an edit is about.
    """
    for edit in edits:
        edit.apply_to_optimizer(model, optimizer)


def patch(model: nn.Module, remedies: Sequence[str], order: Order, seed: int = 0, data: Data | None = None) -> str:
    """Python code whose ``repair(model)`` makes exactly the change that :func:`apply_remedies` makes.

    Where a remedy changes the optimizer, ``repair_optimizer(model, optimizer)`` makes that change.

    Raises:
        InputError: As :func:`apply_remedies`.
    """
    return as_code(plan(model, remedies, order, seed, data))


def plan(
    model: nn.Module, remedies: Sequence[str], order: Order, seed: int, data: Data | None = None
) -> tuple[Edit, ...]:
    """The edits of several remedies; an initialisation after a swap sees the activations the swap will have put in.

    A remedy that measures on data gets a copy with the earlier edits made, and random states of its own.

    Raises:
        InputError: If a remedy is unknown or not applicable.
    """
    chosen = sorted((find(remedy_id) for remedy_id in remedies), key=_is_of_the_training)
    refuse_unreachable(model)
    edits: list[Edit] = []
    for remedy in chosen:
        for edit in _planned(remedy, model, edits, order, seed, data):
            edits.append(edit)
            order = edit.order_after(order)
    return tuple(edits)


def _is_of_the_training(remedy: Remedy) -> bool:
    """Whether it acts on weights by their names while they are trained: such come last, when modules have theirs."""
    return remedy.id.partition(":")[0] in ADDED_TO_THE_UPDATE or remedy.id.startswith("optimisation.")


def _planned(
    remedy: Remedy, model: nn.Module, before: list[Edit], order: Order, seed: int, data: Data | None
) -> tuple[Edit, ...]:
    """The edits of one remedy after others; where it needs modules in the place of functions, first those."""
    try:
        return _edits(remedy, model, before, order, seed, data)
    except CalledAsFunctionError as refusal:
        present = _as_seen(model, before)
        made = modules_for_functions(present, order, refusal.steps, str(refusal))
    for edit in made:
        order = edit.order_after(order)
    return (*made, *_edits(remedy, model, [*before, *made], order, seed, data))


def _edits(
    remedy: Remedy, model: nn.Module, before: list[Edit], order: Order, seed: int, data: Data | None
) -> tuple[Edit, ...]:
    if remedy.needs_data and data is not None:
        with drawing_under(seed):
            return remedy.edits(repaired(model, before), order, seed, data)
    return remedy.edits(_as_seen(model, before), order, seed, data)


def _as_seen(model: nn.Module, edits: Sequence[Edit]) -> nn.Module:
    """The model with its modules where the edits will have put them; its numbers are the model's own, not copies."""
    if not any(edit.renames for edit in edits):
        return model
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    changed = copied_model(model, shared)
    for edit in edits:
        if edit.renames:
            edit.apply(changed)
    return changed


def _copies(
    model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Copies made together, so that the optimizer's groups hold the copied parameters.

    A copy of an optimizer has lost its hooks, which for those that watch it is right; what acts on its updates stays.
    """
    memo: dict[int, Any] = {}
    changed = copied_model(model, memo)
    if optimizer is None:
        return changed, None
    changed_optimizer = copied_model(optimizer, memo)
    for name, value in vars(optimizer).items():
        # torch copies state and groups only, and L-BFGS then lacks its list of parameters; a schedule's step is its own
        if name not in vars(changed_optimizer) and not callable(value):
            setattr(changed_optimizer, name, copied_model(value, memo))
    for action in actions_of(optimizer):
        _attach(copied_model(action, memo), changed_optimizer)
    return changed, changed_optimizer


def _attach(action: Any, optimizer: torch.optim.Optimizer) -> None:
    """As it was attached; two penalties add up, and neither takes the other's place."""
    if hasattr(action, "put_back"):  # a pasted one too, whose class is another
        action.attach(optimizer)
    else:
        optimizer.register_step_pre_hook(action)


def _rebind(
    optimizer: torch.optim.Optimizer, model: nn.Module, before: list[nn.Parameter], edits: tuple[Edit, ...]
) -> None:
    """Let the optimizer hold the changed model's parameters; what it was not given before it is not given now."""
    gone = {id(parameter) for parameter in before} - {id(parameter) for parameter in model.parameters()}
    for group in optimizer.param_groups:
        # In place: L-BFGS keeps the list itself.
        group["params"][:] = [parameter for parameter in group["params"] if id(parameter) not in gone]
    for name in (name for edit in edits for name in edit.redrawn):
        for parameter in model.get_submodule(name).parameters():
            optimizer.state.pop(parameter, None)
    known = {id(parameter) for parameter in before}
    new = [parameter for parameter in model.parameters() if id(parameter) not in known]
    if new:
        _join_without_decay(optimizer, new)


def _join_without_decay(optimizer: torch.optim.Optimizer, new: list[nn.Parameter]) -> None:
    """Put parameters in the first group without weight decay, or in a new one with the first one's other settings.

    What remedies add are scales, shifts and slopes. Decay is for weights: it would pull a slope or a scale to 0 (He et
    al. 2015, arXiv:1502.01852, section 2.1, for slopes).
    """
    for group in optimizer.param_groups:
        if not group.get("weight_decay"):
            group["params"] += new
            return
    optimizer.add_param_group({**optimizer.param_groups[0], "params": new, "weight_decay": 0.0})
