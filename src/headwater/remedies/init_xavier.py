"""Xavier (Glorot) initialisation: N(0, 2/(fan_in + fan_out)), for S-shaped activations.

Keeps tanh near its linear part in both directions. Wrong before ReLU, which halves the signal's energy in every layer.

Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section
4.2.1, with a normal for their uniform distribution.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import fans
from headwater.remedies.init import draw
from headwater.remedies.order import Step
from headwater.remedies.remedy import Remedy

RULE = "Xavier: std = sqrt(2 / (fan_in + fan_out))"


def std(layer: nn.Module, following: Step) -> float:
    """√(2/(fan_in + fan_out)), whatever follows."""
    return (2.0 / sum(fans(layer))) ** 0.5


def of_fans(fan_in: int, fan_out: int) -> float:
    """The same of a layer without activation, by its inputs and outputs."""
    return float((2.0 / (fan_in + fan_out)) ** 0.5)


REMEDY = Remedy("init.xavier", partial(draw, "init.xavier", RULE, std, of_fans=of_fans))
