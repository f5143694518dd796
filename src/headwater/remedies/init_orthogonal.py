"""Orthogonal initialisation: weights that turn signals and gradients without stretching any of them.

Times the gain of the activation that follows, as for ``init.he``; layers that widen are scaled up by √(out/in), so that
the second moment of the signal is kept. The best plain choice for tanh and its S-shaped relatives at any depth. Before
ReLU it is hardly better than He's: half of every signal is still cut off, and inputs merge with depth. Of convolutions
the flattened kernels are orthogonal, which keeps the scale but not the length of every signal (a 3×3 kernel with zero
padding loses 8 %); ``init.delta_orthogonal`` does. Costs one QR decomposition per layer, once.

Source: Saxe, McClelland, Ganguli 2014, arXiv:1312.6120.
"""

from torch import nn

from headwater.remedies import init_he, seeds
from headwater.remedies.edits import Edit, fans
from headwater.remedies.edits_orthogonal import DrawOrthogonal, OrthogonalLayer
from headwater.remedies.init import attention_weights, drawable_layers
from headwater.remedies.order import Order, activation_after
from headwater.remedies.remedy import Remedy

RULE = "Orthogonal: std = gain / sqrt(fan_in), gain from the activation that follows"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    layers = tuple(
        OrthogonalLayer(name, init_he.gain(activation_after(order, name)) / fans(model.get_submodule(name))[0] ** 0.5)
        for name in drawable_layers("init.orthogonal", model, order)
    )
    drawn = DrawOrthogonal(layers, seed + seeds.DRAWN_WEIGHTS, RULE)
    return (drawn, *attention_weights(model, order, seed, orthogonal=True))


REMEDY = Remedy("init.orthogonal", _plan)
