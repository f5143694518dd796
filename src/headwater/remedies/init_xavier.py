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


def _std(layer: nn.Module, following: Step) -> float:
    return (2.0 / sum(fans(layer))) ** 0.5


def _of_fans(fan_in: int, fan_out: int) -> float:
    return float((2.0 / (fan_in + fan_out)) ** 0.5)


REMEDY = Remedy("init.xavier", partial(draw, "init.xavier", RULE, _std, of_fans=_of_fans))
