"""He initialisation: N(0, gain²/fan_in), gain from the activation that really follows the layer.

√2 for ReLU, √(2/(1+a²)) for leaky ones, by quadrature for their smooth relatives; 1 before an S-shaped activation or
none, where it is LeCun's rule. Keeps the scale of signals; does not keep inputs apart in very deep plain networks.

Source: He, Zhang, Ren, Sun 2015, arXiv:1502.01852, section 2.2.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import fans
from headwater.remedies.init import draw
from headwater.remedies.remedy import Remedy
from headwater.theory import ACTIVATIONS, gain_forward

RULE = "He: std = gain / sqrt(fan_in), gain from the activation that follows"


def gain(activation: str) -> float:
    """The gain before ``activation``: its own where it is a rectifier or a relative, else 1."""
    return gain_forward(activation) if ACTIVATIONS[activation].init == "he" else 1.0


def _std(layer: nn.Module, activation: str) -> float:
    fan_in, _ = fans(layer)
    return gain(activation) / fan_in**0.5


REMEDY = Remedy("init.he", partial(draw, "init.he", RULE, _std))
