"""RMS normalisation between each hidden linear layer and the activation that follows it.

Every sample's pre-activations are divided by their root mean square over the layer, then multiplied by a learned scale
per unit. As layer normalisation without the mean: the samples of a batch do not see each other, training and evaluation
are the same, and it costs about a third less. Biases stay. New scales join a parameter group of the optimizer without
weight decay.

Applies where hidden activations follow linear layers; a layer that is normalised already is passed over. Wrong where
the size of a sample's signal is information, for convolutions, whose channels stand in another dimension than it
normalises (``normalisation.group`` is for those), and no cure for inputs that merge in very deep plain networks.

Source: Zhang and Sennrich 2019, arXiv:1910.07467.
"""

from typing import Any

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.normalisation import normalise, units_last
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "normalisation.rms"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    inserted, _ = normalise(ID, _module, model, order)
    return (inserted,)


def _module(name: str, layer: Any, shape: tuple[int, ...], order: Order) -> tuple[str, tuple[int, ...]]:
    """Class and arguments of the normalisation of a layer's output."""
    units = units_last(layer)
    if units is None:
        raise NotApplicableError(
            f"{ID}: {name!r} is a convolution, whose channels are not the last dimension. normalisation.group "
            "normalises channels and pixels, and so does normalisation.layer."
        )
    return "RMSNorm", (units,)


REMEDY = Remedy(ID, _plan)
