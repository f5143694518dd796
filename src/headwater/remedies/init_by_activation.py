"""The lectures' rule as one remedy: Xavier before an S-shaped activation or none, He before a rectifier or a relative.

Each layer is drawn by the activation that really follows it, so that a network with several kinds of them needs no
second thought: N(0, 2/(fan_in + fan_out)) before sigmoid, tanh and the output, N(0, gain²/fan_in) with each rectifier's
own gain elsewhere. Wrong for sigmoids in more than a few layers, which no such weights keep alive, and, as He's rule
is, where inputs merge with depth. Costs nothing.

Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section
4.2.1; He, Zhang, Ren, Sun 2015, arXiv:1502.01852, section 2.2. Where the rule fails: the lesson ``init-by-activation``.
"""

from functools import partial

from torch import nn

from headwater.remedies import init_he, init_xavier
from headwater.remedies.init import draw
from headwater.remedies.order import Step
from headwater.remedies.remedy import Remedy
from headwater.theory import ACTIVATIONS

RULE = "By the activation that follows: He before a rectifier or its relative, else Xavier"


def _std(layer: nn.Module, following: Step) -> float:
    is_he = ACTIVATIONS[str(following.activation)].init == "he"
    return init_he.std(layer, following) if is_he else init_xavier.std(layer, following)


REMEDY = Remedy("init.by_activation", partial(draw, "init.by_activation", RULE, _std, of_fans=init_xavier.of_fans))
