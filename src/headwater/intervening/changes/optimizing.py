"""The optimizer's step: its length, its decay, and what it moves."""

from functools import partial

import torch

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change
from headwater.remedies.scaled_rate import ScaledRate
from headwater.remedies.whole_model import hold_all


def _scale_rate(factor: float, branch: Branch) -> None:
    def change(optimizer: torch.optim.Optimizer) -> None:
        if not any("lr" in group for group in optimizer.param_groups):
            raise nothing_to_change("learning_rate")
        ScaledRate(factor).attach(optimizer)

    branch.with_optimizer(change)


def _stop_decay(branch: Branch) -> None:
    def change(optimizer: torch.optim.Optimizer) -> None:
        if not any(group.get("weight_decay") for group in optimizer.param_groups):
            raise nothing_to_change("weight_decay")
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0

    branch.with_optimizer(change)


def _hold_all(branch: Branch) -> None:
    """What the optimizer does not hold joins a group of its kind; what is not the model's leaves."""
    model = branch.model
    branch.with_optimizer(lambda optimizer: hold_all(model, optimizer))


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
