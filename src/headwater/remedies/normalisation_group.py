"""Group normalisation between each hidden affine map and the activation that follows it.

Channels in groups of at least 16, of at most 32 groups: every sample's pre-activations get mean 0 and variance 1 over
each group and its pixels, then a learned scale and shift per channel. The samples of a batch do not see each other, so
it works where batch normalisation has too few of them; groups keep their sizes relative to each other apart, which one
normalisation over the whole layer does not. Biases stay. New scales and shifts join a parameter group of the optimizer
without weight decay.

Applies where hidden activations are modules of their own; a layer that is normalised already is passed over. With fewer
than 32 channels there is one group, and it is what ``normalisation.layer`` does to a convolution. Wrong for linear
layers in models of sequences, whose units are in the last dimension, and where the size of a sample's signal is
information. Costs about as much as batch normalisation.

Source: Wu and He 2018, arXiv:1803.08494: at most 32 groups, and 16 channels per group, the best of its tables 3.
"""

from typing import Any

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.normalisation import normalise, refuse_sequences, units_last
from headwater.remedies.order import Order
from headwater.remedies.remedy import Remedy

ID = "normalisation.group"
MOST_GROUPS, CHANNELS = 32, 16


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    inserted, _ = normalise(ID, _module, model, order)
    return (inserted,)


def _module(name: str, layer: Any, shape: tuple[int, ...], order: Order) -> tuple[str, tuple[int, ...]]:
    """Class and arguments of the normalisation of a layer's output."""
    units = units_last(layer)
    if units is not None:
        refuse_sequences(ID, name, shape, order, "whose units are not in the second dimension")
        return "GroupNorm", (groups_of(units), units)
    return "GroupNorm", (groups_of(layer.out_channels), layer.out_channels)


def groups_of(channels: int) -> int:
    """How many groups: the most that divide the channels, of 16 channels or more each, and at most 32.

    Example:
        >>> [groups_of(channels) for channels in (8, 64, 96, 100, 2048)]
        [1, 4, 6, 5, 32]
    """
    return max(g for g in range(1, MOST_GROUPS + 1) if channels % g == 0 and (channels // g >= CHANNELS or g == 1))


REMEDY = Remedy(ID, _plan)
