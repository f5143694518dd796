"""Another activation in the hidden layers.

Applies where the hidden activations are modules. The output's own activation stays: it belongs to the loss. Wrong where
a bounded or smooth activation is part of the design (gates, physics losses that differentiate twice). Costs nothing.

Source: Glorot, Bordes, Bengio 2011, "Deep sparse rectifier neural networks", for rectifiers in hidden layers.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import Edit, ReplaceActivations
from headwater.remedies.order import Order, Step, hidden_activations
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.theory import ACTIVATIONS


def swap(activation_id: str) -> Remedy:
    """The remedy that puts ``activation_id`` into every hidden layer."""
    return Remedy(f"activation.{activation_id}", partial(_plan, activation_id))


def _plan(activation_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    others = [step for step in hidden_activations(order) if step.activation != activation_id]
    if not others:
        raise NotApplicableError(
            f"activation.{activation_id}: {type(model).__name__} has no hidden activation that is not {activation_id} "
            "already."
        )
    _refuse_functions(activation_id, others)
    places = dict.fromkeys(_aliases(model, step.module) for step in others)
    return (ReplaceActivations(tuple(places), activation_id),)


def _refuse_functions(activation_id: str, steps: list[Step]) -> None:
    functions = [step for step in steps if step.functional]
    if functions:
        step = functions[0]
        owner = f"the forward of {step.module!r}" if step.module else "forward"
        raise NotApplicableError(
            f"activation.{activation_id}: {step.activation} is called as a function in {owner}, where no module can be "
            f"replaced. Make it one: self.act = {ACTIVATIONS[str(step.activation)].constructor} in __init__, and "
            "self.act(x) in forward."
        )


def _aliases(model: nn.Module, name: str) -> tuple[str, ...]:
    """Every name the module goes by, so that a reused one is replaced everywhere."""
    module = model.get_submodule(name)
    names = tuple(other for other, found in model.named_modules(remove_duplicate=False) if found is module)
    if "" in names:
        raise NotApplicableError("the model is itself an activation: wrap it in nn.Sequential to give it a place.")
    return names


REMEDIES = tuple(swap(activation_id) for activation_id in ACTIVATIONS if activation_id != "identity")
