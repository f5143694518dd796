"""Mean and spread of the features that a layer takes."""

import torch
from torch import Tensor, nn

FURTHEST = 10.0  # spreads from the mean of any value that was seen: a pixel that is hardly ever lit is not blown up
CONSTANT = 1e-7  # of its mean: rounding
MOST_FEATURES = 1024
CLOSE = 0.1  # to mean 0 and spread 1


def feature_axis(layer: nn.Module) -> int:
    """From behind: channels come before the places of a convolution, features last."""
    kernel = getattr(layer, "kernel_size", None)
    return -1 - len(kernel) if kernel is not None else -1


def scale_of(inputs: list[Tensor], axis: int) -> tuple[Tensor, Tensor]:
    """Mean and spread of each feature, in float64, of shapes that go with an input from behind.

    Args:
        inputs: Alike but for their first axis.
        axis: Of the features, from behind.
    """
    features = inputs[0].shape[axis]
    rows = torch.cat([x.to(torch.float64).movedim(axis, -1).reshape(-1, features) for x in inputs])
    rows = rows.reshape(-1, 1) if features > MOST_FEATURES else rows
    mean, spread = rows.mean(0), rows.std(0, correction=0)
    spread = torch.maximum(spread, (rows - mean).abs().amax(0) / FURTHEST)
    widest = float(spread.max()) or 1.0
    spread = torch.where(spread > CONSTANT * mean.abs(), spread, widest)
    shape = (len(mean), *[1] * (-1 - axis))
    return mean.reshape(shape), spread.reshape(shape)


def is_standard(mean: Tensor, std: Tensor) -> bool:
    """Whether every feature is near mean 0 and spread 1."""
    return bool((mean.abs() < CLOSE).all()) and bool(((std - 1.0).abs() < CLOSE).all())
