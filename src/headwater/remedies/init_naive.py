"""The two initialisations that lectures begin with: N(0, 0.01²) and N(0, 1), whatever the layer.

No cures: they show what goes wrong. With 0.01 each layer shrinks signals and gradients by 0.01·√fan_in, so that in a
deep network all activations are the same and nothing is learned; with 1 it blows them up by √fan_in, so that S-shaped
activations saturate. Right only in networks of one or two layers. Cost nothing.

Source: Saito 2016, "Deep Learning from Scratch", chapter 6.2, which compares both with Xavier's and He's.
"""

from functools import partial

from torch import nn

from headwater.remedies.init import draw
from headwater.remedies.order import Step
from headwater.remedies.remedy import Remedy


def _naive(remedy_id: str, std: float) -> Remedy:
    def std_of_any(layer: nn.Module, following: Step) -> float:
        return std

    def std_of_any_fans(fan_in: int, fan_out: int) -> float:
        return std

    rule = f"The same std = {std:g} in every layer, whatever its width"
    return Remedy(remedy_id, partial(draw, remedy_id, rule, std_of_any, of_fans=std_of_any_fans), is_cure=False)


REMEDIES = (_naive("init.normal_small", 0.01), _naive("init.normal_one", 1.0))
