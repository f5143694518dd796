"""He initialisation: N(0, gain²/fan_in), gain from the activation that really follows the layer.

√2 for ReLU, √(2/(1+a²)) for leaky ones, by quadrature for their smooth relatives; 1 before an S-shaped activation or
none, where it is LeCun's rule. Keeps the scale of signals; does not keep inputs apart in very deep plain networks.

Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, section 2.2.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import fans
from headwater.remedies.init import draw
from headwater.remedies.order import Step
from headwater.remedies.remedy import Remedy
from headwater.theory import ACTIVATIONS, gain_forward

RULE = "He: std = gain / sqrt(fan_in), gain from the activation that follows"


def gain(following: Step) -> float:
    """The gain before an activation: its own, at its own slope, where it is a rectifier or a relative; else 1."""
    activation = str(following.activation)
    if ACTIVATIONS[activation].init != "he":
        return 1.0
    return gain_forward(activation, **dict(following.parameters))


def std(layer: nn.Module, following: Step) -> float:
    """gain/√fan_in, with the gain of what follows."""
    fan_in, _ = fans(layer)
    return gain(following) / fan_in**0.5


REMEDY = Remedy("init.he", partial(draw, "init.he", RULE, std))
