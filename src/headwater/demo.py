"""The built-in main job: a 30-layer sigmoid network on real handwritten digits, as PyTorch initialises it.

``headwater check headwater.demo:experiment`` checks it like any user's program.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from headwater.records import Experiment, InputError

DEPTH = 30
WIDTH = 64
CLASSES = 10
TRAIN_SHARE = 0.8
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
SPLIT_SEED = 0

Batch = tuple[Tensor, Tensor]


def experiment(depth: int = DEPTH) -> Experiment:
    """A deep sigmoid network, Adam, cross-entropy and test accuracy on scikit-learn's digits.

    Args:
        depth: Number of linear layers.

    Raises:
        InputError: Without scikit-learn; the message says how to install it.
    """
    train, test = digits()
    return Experiment(
        model=lambda: sigmoid_network(depth),
        batches=lambda: shuffled(train),
        loss=cross_entropy,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=LEARNING_RATE),
        validation=lambda: [test],
        metric=accuracy,
        metric_name="accuracy",
    )


def sigmoid_network(depth: int = DEPTH) -> nn.Sequential:
    """Linear layers with a sigmoid between each two, in PyTorch's default initialisation."""
    widths = [WIDTH] * depth + [CLASSES]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def digits() -> tuple[Batch, Batch]:
    """The 1,797 handwritten 8×8 digits as (pixels, classes), standardised by the training part, split 80 : 20.

    Source:
        Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI, as in scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError('the digits come with scikit-learn: pip install "headwater[demo]"') from error
    data = load_digits()
    pixels = torch.tensor(data.data, dtype=torch.float32)
    classes = torch.tensor(data.target, dtype=torch.int64)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(SPLIT_SEED))
    train, test = order.split([int(TRAIN_SHARE * len(order)), len(order) - int(TRAIN_SHARE * len(order))])
    mean, spread = pixels[train].mean(0), pixels[train].std(0).clamp(min=1e-3)
    pixels = (pixels - mean) / spread
    return (pixels[train], classes[train]), (pixels[test], classes[test])


def shuffled(data: Batch) -> list[Batch]:
    """One epoch of full batches in an order drawn from torch's random state."""
    pixels, classes = data
    order = torch.randperm(len(pixels))
    return [(pixels[rows], classes[rows]) for rows in order.split(BATCH_SIZE) if len(rows) == BATCH_SIZE]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the classes."""
    pixels, classes = batch
    return nn.functional.cross_entropy(model(pixels), classes)


def accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Share of classes predicted right."""
    right = [(model(pixels).argmax(dim=1) == classes).float() for pixels, classes in batches]
    return float(torch.cat(right).mean())
