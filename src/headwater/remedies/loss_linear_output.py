"""A linear output: the activation behind the last layer is taken away.

For targets that it cannot reach: tanh ends at 1, sigmoid and ReLU at 0. What lies beyond draws the output into the
flat end, where the gradient is zero. The module becomes ``nn.Identity``, so no name changes; dropout behind it stays.
Wrong where the bound is meant: probabilities, images between 0 and 1, rates that must be positive (softplus). Scaling
the targets into the range is the other way. Costs nothing. Applied twice, there is nothing left to take away.

Source: Bishop 2006, "Pattern recognition and machine learning", section 5.2: identity for regression.
"""

from torch import nn

from headwater.diagnosis.rules.loss_activation_mismatch import RANGES
from headwater.remedies.edits import Edit
from headwater.remedies.edits_head import ReplaceHead
from headwater.remedies.order import Order, hidden_activations
from headwater.remedies.places import aliases, is_dropout, refuse_functions
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "loss.linear_output"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    last = next((step for step in reversed(order) if not is_dropout(model, step)), None)
    if last is None or last.activation not in RANGES:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} does not end in an activation with a bound "
            f"({', '.join(RANGES)}). If the loss stays high all the same, hw.check(experiment, steps=50) tells why."
        )
    refuse_functions(ID, [last])
    names = aliases(model, last.module)
    if last.module in {step.module for step in hidden_activations(order)}:
        raise NotApplicableError(
            f"{ID}: {last.module!r} is both inside and at the output. Give the output none: return the last layer's "
            "result in forward."
        )
    return (ReplaceHead(names),)


REMEDY = Remedy(ID, _plan)
