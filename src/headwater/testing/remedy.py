"""What is promised of a remedy."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headwater.api import apply
from headwater.probes.measure import measure
from headwater.probes.preserve import random_states
from headwater.records import InputError
from headwater.remedies.data import Data
from headwater.remedies.explained import PARTS
from headwater.remedies.order import Order, order_of_flow, order_of_model
from headwater.remedies.registry import find
from headwater.remedies.remedy import Remedy
from headwater.remedies.surgery import RemedyWarning, patch
from headwater.testing.same import same
from headwater.testing.texts import check_ids, template

Loss = Callable[[Any, Any], Tensor]
Optimizer = Callable[[Any], torch.optim.Optimizer]


def check_remedy(
    remedy: Remedy,
    model: Callable[[], nn.Module],
    batch: Any,
    loss: Loss,
    optimizer: Optimizer = torch.optim.AdamW,
    *,
    seed: int = 3,
) -> None:
    """Fail unless a remedy changes a copy and only that, in the same way each time and as its patch does.

    Args:
        remedy: Which.
        model: Makes a model that it can be applied to; on one with nothing to do for it, it has to refuse.
        batch: Of its training.
        loss: ``loss(model, batch) -> scalar tensor``.
        optimizer: Made over the model's parameters.
        seed: Of newly drawn weights.

    Raises:
        AssertionError: With the sentence that does not hold.
    """
    _check_registered(remedy)
    given = model()
    stepper = optimizer(given.parameters())
    before = _snapshot(given, stepper)
    states = random_states()
    changed, changed_stepper = _applied(remedy, given, stepper, batch, loss, seed)
    assert same(before, _snapshot(given, stepper)), f"{remedy.id} has changed the original model or optimizer"
    assert same(states, random_states()), f"{remedy.id} has drawn from the training's random numbers"
    shared = {id(p) for p in changed.parameters()} & {id(p) for p in given.parameters()}
    assert not shared, f"{remedy.id}: the changed model shares weights with the original"
    held = {id(p) for group in changed_stepper.param_groups for p in group["params"]}
    strange = held - {id(p) for p in changed.parameters()}
    assert not strange, f"{remedy.id}: the optimizer moves weights that are not the changed model's"
    again, _ = _applied(remedy, given, stepper, batch, loss, seed)
    assert same(changed.state_dict(), again.state_dict()), f"{remedy.id} gives another model when it is asked again"
    value = loss(copy.deepcopy(changed), batch)
    assert bool(torch.isfinite(value)), f"{remedy.id}: the changed model's loss is {value.item()}"
    value.backward()
    _check_patch(remedy, given, changed, batch, loss, seed)
    _check_refusal(remedy, batch, loss)


def _check_registered(remedy: Remedy) -> None:
    family, _, name = remedy.id.partition(".")
    is_named = bool(family and name)
    assert is_named, f"a remedy's id is a family and a name, such as 'init.he': {remedy.id!r}"
    assert ":" not in remedy.id, f"behind a colon stands a strength, which is none of the id's: {remedy.id!r}"
    try:
        known = find(remedy.id)
    except InputError as error:
        raise AssertionError(f"{remedy.id!r} is not among the remedies: install the plugin's package") from error
    assert known == remedy, f"another remedy is called {remedy.id!r}"
    check_ids([f"remedy.{remedy.id}.name"])
    for part in PARTS:
        try:
            template(f"remedy.{remedy.id}.{part}", "en")
        except AssertionError:
            check_ids([f"remedy.{family}.{part}"])
        else:
            check_ids([f"remedy.{remedy.id}.{part}"])
    if remedy.strength is not None:
        assert 0 < remedy.strength.default < remedy.strength.below, f"{remedy.id}: the default strength is refused"
        assert find(f"{remedy.id}:{remedy.strength.default:g}").needs_data == remedy.needs_data


def _applied(
    remedy: Remedy, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, loss: Loss, seed: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemedyWarning)
        return apply(model, remedy.id, optimizer, seed=seed, batches=[batch], loss=loss)


def _check_patch(remedy: Remedy, given: nn.Module, changed: nn.Module, batch: Any, loss: Loss, seed: int) -> None:
    """The code alone, in a file of the user's, makes the very same model."""
    code = patch(given, [remedy.id], _order(given, batch, loss), seed=seed, data=Data((batch,), loss))
    namespace: dict[str, Any] = {}
    exec(compile(code, f"<patch of {remedy.id}>", "exec"), namespace)
    pasted = namespace["repair"](copy.deepcopy(given)) if "repair" in namespace else copy.deepcopy(given)
    assert same(pasted.state_dict(), changed.state_dict()), f"{remedy.id}: the patch makes another model than apply"
    kinds = [[type(part).__name__ for part in one.modules()] for one in (pasted, changed)]
    assert kinds[0] == kinds[1], f"{remedy.id}: the patch makes other modules than apply: {kinds}"


def _order(model: nn.Module, batch: Any, loss: Loss) -> Order:
    """As ``apply`` finds it: read off the model, or measured where it cannot be."""
    try:
        return order_of_model(model)
    except InputError:
        return order_of_flow(measure(model, batch, loss))


def _check_refusal(remedy: Remedy, batch: Any, loss: Loss) -> None:
    """Where there is nothing to do it says so by name, or does it; what it must not do is fail."""
    bare = nn.Sequential(nn.Flatten())
    try:
        remedy.edits(bare, order_of_model(bare), 0, Data((batch,), loss))
    except InputError as refusal:
        said = str(refusal)
    except Exception as error:
        raise AssertionError(f"{remedy.id} fails on a model without weights: {error!r}") from error
    else:
        return
    is_said = len(said) > 20
    assert is_said, f"{remedy.id}: the refusal says too little: {said}"


def _snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    return [
        str(model),
        [id(p) for p in model.parameters()],
        [part.training for part in model.modules()],
        {name: value.clone() for name, value in model.state_dict().items()},
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        copy.deepcopy(optimizer.state_dict()),
    ]
