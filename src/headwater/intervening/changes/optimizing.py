"""The optimizer's step: its length, its decay, and what it moves."""

from functools import partial
from typing import Any

import torch

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change


def _scale_rate(factor: float, branch: Branch) -> None:
    def change(optimizer: torch.optim.Optimizer) -> None:
        if not any("lr" in group for group in optimizer.param_groups):
            raise nothing_to_change("learning_rate")
        _ScaledRate(factor).attach(optimizer)

    branch.with_optimizer(change)


class _ScaledRate:
    """Scales the learning rate while the optimizer steps and no longer: a schedule may set another at any time."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._rates: list[Any] = []

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.register_step_pre_hook(self._scale)
        first = optimizer.register_step_post_hook(self._put_back)
        # Before all others: a schedule that steps in one of them goes on from the rate that it set itself.
        hooks = optimizer._optimizer_step_post_hooks
        for other in [key for key in hooks if key != first.id]:
            hooks[other] = hooks.pop(other)

    def _scale(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._rates = [group.get("lr") for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            if "lr" in group:
                group["lr"] = group["lr"] * self._factor

    def _put_back(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            if "lr" in group:
                group["lr"] = rate


def _stop_decay(branch: Branch) -> None:
    def change(optimizer: torch.optim.Optimizer) -> None:
        if not any(group.get("weight_decay") for group in optimizer.param_groups):
            raise nothing_to_change("weight_decay")
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0

    branch.with_optimizer(change)


def _hold_all(branch: Branch) -> None:
    """What the optimizer does not hold joins its first group; what is not the model's leaves."""
    model = branch.model

    def change(optimizer: torch.optim.Optimizer) -> None:
        own = {id(parameter): parameter for parameter in model.parameters() if parameter.requires_grad}
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for group in optimizer.param_groups:
            # In place: L-BFGS keeps the list itself.
            group["params"][:] = [parameter for parameter in group["params"] if id(parameter) in own]
        optimizer.param_groups[0]["params"] += [own[key] for key in own if key not in held]

    branch.with_optimizer(change)


def _unfreeze(branch: Branch) -> None:
    frozen = [p for p in branch.model.parameters() if not p.requires_grad and p.is_floating_point()]
    if not frozen:
        raise nothing_to_change("frozen")
    for parameter in frozen:
        parameter.requires_grad_(True)
    _hold_all(branch)


CHANGES = (
    Change("rate_100th", "learning_rate_high", partial(_scale_rate, 0.01)),
    Change("rate_10th", "learning_rate_high", partial(_scale_rate, 0.1)),
    Change("rate_10", "learning_rate_low", partial(_scale_rate, 10.0)),
    Change("rate_100", "learning_rate_low", partial(_scale_rate, 100.0)),
    Change("no_decay", "weight_decay_high", _stop_decay),
    Change("all_parameters", "optimizer_params", _hold_all),
    Change("unfrozen", "frozen", _unfreeze),
)
