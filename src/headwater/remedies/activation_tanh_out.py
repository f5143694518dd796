"""ReLU in the hidden layers, tanh at the output.

For targets between -1 and 1: images scaled to that range, actions, generators. Hidden layers keep ReLU's gradient, and
only one tanh stands between them and the loss. The output's activation is exchanged if there is one; else tanh is put
behind a chain of ``nn.Sequential``. Wrong for classification by cross-entropy: logits between -1 and 1 cannot say that
a class is certain. Costs nothing.

Source: Radford, Metz, Chintala 2016, arXiv:1511.06434, section 3.
"""

from torch import nn

from headwater.remedies.edits import Edit, ReplaceActivations
from headwater.remedies.edits_insert import AppendActivation
from headwater.remedies.order import Order, hidden_activations
from headwater.remedies.places import aliases, refuse_functions
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "activation.relu_inside_tanh_out"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    inside = [step for step in hidden_activations(order) if step.activation != "relu"]
    refuse_functions(ID, inside)
    places = tuple(dict.fromkeys(aliases(model, step.module) for step in inside))
    edits: list[Edit] = [ReplaceActivations(places, "relu")] if places else []
    edits += _at_the_output(model, order)
    if not edits:
        raise NotApplicableError(f"{ID}: {type(model).__name__} is that already.")
    return tuple(edits)


def _at_the_output(model: nn.Module, order: Order) -> list[Edit]:
    last = max((index for index, step in enumerate(order) if step.kind == "affine"), default=-1)
    behind = order[last + 1 :]
    activations = [step for step in behind if step.activation is not None]
    if not activations:
        if type(model) is nn.Sequential and last >= 0 and not behind:
            return [AppendActivation("Tanh", "tanh")]
        raise NotApplicableError(
            f"{ID}: where {type(model).__name__} ends its forward no module can be put. End it in one: self.out = "
            "nn.Tanh() in __init__, and return self.out(x) in forward."
        )
    others = [step for step in activations if step.activation != "tanh"]
    refuse_functions(ID, others)
    places = tuple(dict.fromkeys(aliases(model, step.module) for step in others))
    inside = {step.module for step in hidden_activations(order)}
    shared = [step.module for step in others if step.module in inside]
    if shared:
        raise NotApplicableError(
            f"{ID}: {shared[0]!r} is both inside and at the output. Give each place an activation of its own."
        )
    return [ReplaceActivations(places, "tanh")] if places else []


REMEDY = Remedy(ID, _plan)
