"""Another activation in the hidden layers.

Applies where the hidden activations are modules. The output's own activation stays: it belongs to the loss. Wrong where
a bounded or smooth activation is part of the design (gates, physics losses that differentiate twice). Costs nothing.

Source: Glorot, Bordes, Bengio 2011, "Deep sparse rectifier neural networks", for rectifiers in hidden layers.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import Edit, ReplaceActivations
from headwater.remedies.order import Order, Step, hidden_activations
from headwater.remedies.places import aliases, beside, refuse_functions
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.theory import ACTIVATIONS


def swap(activation_id: str) -> Remedy:
    """The remedy that puts ``activation_id`` into every hidden layer."""
    return Remedy(f"activation.{activation_id}", partial(_plan, activation_id))


def _plan(activation_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    others = [step for step in hidden_activations(order) if step.activation != activation_id]
    if not hidden_activations(order):
        raise NotApplicableError(
            f"activation.{activation_id}: {type(model).__name__} has no activation between two layers that could be "
            f"exchanged. Put one there: {ACTIVATIONS[activation_id].constructor}, or activation.relu_between where "
            "layers follow each other with nothing in between."
        )
    if not others:
        raise NotApplicableError(
            f"activation.{activation_id}: {type(model).__name__} has no hidden activation that is not {activation_id} "
            f"already. For another one: activation.{'tanh' if activation_id == 'relu' else 'relu'}."
        )
    refuse_functions(f"activation.{activation_id}", others)
    places = {aliases(model, step.module): _like(activation_id, model, order, step) for step in others}
    return tuple(
        ReplaceActivations(tuple(names for names, near in places.items() if near == like), activation_id, like=like)
        for like in dict.fromkeys(places.values())
    )


def _like(activation_id: str, model: nn.Module, order: Order, step: Step) -> str:
    """Name of the weight beside which a slope belongs, where the model's weights are not all alike."""
    if activation_id != "prelu":
        return ""
    place = next(index for index, other in enumerate(order) if other is step)
    before = [other.module for other in order[:place] if other.kind == "affine" and not other.functional]
    return beside(model, before[-1]) if before else ""


REMEDIES = tuple(swap(activation_id) for activation_id in ACTIVATIONS if activation_id != "identity")
