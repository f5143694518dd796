"""Batch normalisation between each hidden affine map and the activation that follows it.

Every unit's pre-activations get mean 0 and variance 1 over the batch, then a learned scale and shift, so that no layer
can shrink, blow up or saturate what the next one sees. The affine map's bias is dropped: the mean takes it out again,
and the shift does its work. New scales and shifts join a parameter group of the optimizer without weight decay.

Applies where hidden activations are modules of their own; a layer that is normalised already is passed over. Wrong for
batches of one or a few samples, where samples must not see each other (a new sequence step by step), behind
recurrence, and without shortcuts beyond 20-30 layers: with ReLU the gradient grows by 1.21 per layer towards the input.
A trained model gives other outputs until the running statistics have been seen again. Costs about 30 % more
computation per step.

Source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.2; the 1.21 is √(π/(π-1)), Yang et al. 2019,
arXiv:1902.08129; the cost, Mishkin and Matas 2016, arXiv:1511.06422.
"""

from typing import Any

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_insert import DropBiases
from headwater.remedies.normalisation import normalise, refuse_sequences, units_last, unshared_biases
from headwater.remedies.order import Order
from headwater.remedies.remedy import Remedy


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    inserted, layers = normalise("normalisation.batch", _module, model, order)
    biases = unshared_biases(model, order, layers)
    return (inserted, DropBiases(biases)) if biases else (inserted,)


def _module(name: str, layer: Any, shape: tuple[int, ...], order: Order) -> tuple[str, tuple[int, ...]]:
    """Class and arguments of the normalisation of a layer's output."""
    units = units_last(layer)
    if units is not None:
        refuse_sequences("normalisation.batch", name, shape, order, "over which a batch has no one mean per unit")
        return "BatchNorm1d", (units,)
    dimensions = f"{len(layer.kernel_size)}d"  # not by its weight: reading one that spectral norm computes moves it
    return f"BatchNorm{dimensions}", (layer.out_channels,)


REMEDY = Remedy("normalisation.batch", _plan)
