"""Tailored leaky ReLU: the slope with which a plain network of this depth tells its inputs apart.

Each ReLU merges inputs a little, a leaky one less, a line not at all. The slope is solved for the number of
activations in a row, so that two orthogonal inputs end with a correlation of 0.9: 0.57 for 100 layers, 0.84 for 1,000;
up to a dozen layers ReLU itself stays below that, and the slope is 0. Weights are orthogonal with gain √(2/(1 +
slope²)), in the middle tap of a convolution where it can be, and biases zero.

Applies to plain chains with activations that are modules, of any width; inputs should be standardised. Wrong with
shortcuts, which keep inputs apart already, and for a model that has been trained. A slope near 1 makes the network
nearly linear at the start. Wants a learning rate that falls with depth (Adam: 0.01/depth). ``init.mirrored`` does more
where widths are even. Costs nothing per step.

Source: Zhang, Botev, Martens 2022, arXiv:2203.08120, section 4.
"""

from torch import nn

from headwater.records import InputError
from headwater.remedies import init_he, seeds
from headwater.remedies.edits import Edit, ReplaceActivations
from headwater.remedies.edits_orthogonal import DrawOrthogonal
from headwater.remedies.init import drawable_layers
from headwater.remedies.init_delta_orthogonal import layer
from headwater.remedies.order import Order, activation_after
from headwater.remedies.places import aliases, hidden_modules, refuse_shortcuts
from headwater.remedies.remedy import Remedy
from headwater.theory import tailored_leaky

ID = "activation.tailored_leaky"
RULE = "Orthogonal: std = gain / sqrt(inputs), gain = sqrt(2 / (1 + slope²)) before an activation"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    refuse_shortcuts(ID, order, "each of them keeps inputs apart already")
    steps = hidden_modules(ID, model, order)
    names = drawable_layers(ID, model, order)
    places = tuple(dict.fromkeys(aliases(model, step.module) for step in steps))
    leaky = ReplaceActivations(places, "leaky_relu", (("negative_slope", slope_for(len(steps))),))
    after = leaky.order_after(order)
    layers = tuple(layer(model, name, init_he.gain(activation_after(after, name))) for name in names)
    return leaky, DrawOrthogonal(layers, seed + seeds.DRAWN_WEIGHTS, RULE)


def slope_for(depth: int) -> float:
    """Of so many activations in a row; of few ReLU itself is the answer."""
    try:
        return tailored_leaky(depth).negative_slope
    except InputError:  # ReLU, the strongest bend, keeps inputs apart for so short a way
        return 0.0


REMEDY = Remedy(ID, _plan)
