"""Another activation in the hidden layers.

Applies where the hidden activations are modules. The output's own activation stays: it belongs to the loss. Wrong where
a bounded or smooth activation is part of the design (gates, physics losses that differentiate twice). Costs nothing.

Source: Glorot, Bordes, Bengio 2011, "Deep sparse rectifier neural networks", for rectifiers in hidden layers.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import Edit, ReplaceActivations
from headwater.remedies.order import Order, hidden_activations
from headwater.remedies.places import aliases, refuse_functions
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
    refuse_functions(f"activation.{activation_id}", others)
    places = dict.fromkeys(aliases(model, step.module) for step in others)
    return (ReplaceActivations(tuple(places), activation_id),)


REMEDIES = tuple(swap(activation_id) for activation_id in ACTIVATIONS if activation_id != "identity")
