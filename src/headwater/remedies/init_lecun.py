"""LeCun initialisation: N(0, 1/fan_in), whatever activation follows.

Keeps the variance of a sum of inputs of variance 1: what SELU is made for, and linear layers; tanh near 0 does as well.
Wrong before ReLU, which halves the signal's energy in every layer: ``init.he`` makes up for that. Costs nothing.

Source: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", section 4.6; Klambauer et al. 2017, arXiv:1706.02515,
for SELU.
"""

from functools import partial

from torch import nn

from headwater.remedies.edits import fans
from headwater.remedies.init import draw
from headwater.remedies.order import Step
from headwater.remedies.remedy import Remedy

RULE = "LeCun: std = 1 / sqrt(fan_in)"


def _std(layer: nn.Module, following: Step) -> float:
    fan_in, _ = fans(layer)
    return 1.0 / fan_in**0.5


REMEDY = Remedy("init.lecun", partial(draw, "init.lecun", RULE, _std))
