"""Convolutional networks on images of digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Chain,
    Change,
    Draw,
    Loss,
    Optimize,
    adam,
    adamw,
    between,
    biased,
    constant,
    drawn,
    evaluating,
    experiment,
    frozen,
    he,
    normal,
    of_a_copy,
    of_the_last,
    sgd,
    xavier,
)
from benchmarks.faults.program import Program
from headwater.demo import cross_entropy
from headwater.records import Experiment

USUAL = adam(3e-3)

Layer = Callable[[], nn.Module]


def cnn(
    images: Callable[[], data.Split] = data.images,
    channels: tuple[int, ...] = (8, 16),
    pools: tuple[int, ...] = (0, 1),
    activation: Layer | None = nn.ReLU,
    draw: Draw | None = None,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
    separable: bool = False,
    average: bool = False,
    head: Layer | None = None,
    cut: int | None = None,
    loss: Loss = cross_entropy,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """3×3 convolutions with an activation after each, then one linear layer.

    Args:
        images: The data, 1×8×8.
        channels: Of each convolution.
        pools: After which convolutions the image is halved by max pooling.
        activation: After each convolution; ``None`` for none.
        draw: How weights are drawn; PyTorch's way by default.
        norm: Made for a number of channels.
        dropout: Share that is dropped before the linear layer.
        separable: Whether convolutions are depthwise with a pointwise one behind.
        average: Whether the image is averaged before the linear layer, or flattened.
        head: What follows the linear layer.
        cut: Index of the layer before which the graph is cut off.
        loss: What is minimised.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        before, size = 1, 8
        for index, after in enumerate(channels):
            if separable and before > 1:
                layers += [nn.Conv2d(before, before, 3, padding=1, groups=before), nn.Conv2d(before, after, 1)]
            else:
                layers.append(nn.Conv2d(before, after, 3, padding=1))
            layers += [norm(after)] if norm else []
            layers += [activation()] if activation else []
            if index in pools:
                layers.append(nn.MaxPool2d(2))
                size //= 2
            before = after
        layers += [nn.AdaptiveAvgPool2d(1)] if average else []
        layers.append(nn.Flatten())
        layers += [nn.Dropout(dropout)] if dropout else []
        layers.append(nn.Linear(before * (1 if average else size * size), 10))
        layers += [head()] if head else []
        return drawn(Chain(*layers, cut=cut), draw)

    return experiment(model, images(), optimizer, loss=loss, batch_size=batch_size, change=change)


def healthy(name: str, learns: float, steps: int = 120, watched: int = 40, **recipe: Any) -> Program:
    """A healthy program of this family."""
    return Program(
        f"cnn/{name}", "cnn", partial(cnn, **recipe), steps=steps, watched=watched, chance=0.1, learns=learns
    )


def groups(channels: int) -> nn.Module:
    """Group normalisation."""
    return nn.GroupNorm(4, channels)


class Softmax(nn.Softmax):
    """Over the classes."""

    def __init__(self) -> None:
        super().__init__(dim=1)


plain = healthy("plain", 0.9)
batch_norm = healthy("batch-norm-in-place", 0.9, norm=nn.BatchNorm2d, activation=lambda: nn.ReLU(True))
deep = healthy("he-10", 0.85, channels=(12,) * 10, pools=(4,), draw=he, optimizer=adam(1e-3))
lenet = healthy("lenet-tanh", 0.9, activation=nn.Tanh, draw=xavier, optimizer=sgd(0.05, momentum=0.9))
grouped = healthy("group-norm-silu", 0.9, channels=(16, 16, 16), norm=groups, activation=nn.SiLU, optimizer=adamw(3e-3))
dropped = healthy("dropout", 0.9, channels=(16, 32), dropout=0.4)
separable = healthy(
    "separable", 0.85, channels=(16, 24, 24, 24, 24), separable=True, norm=nn.BatchNorm2d, average=True, steps=150
)
deep_norm = healthy(
    "batch-norm-8", 0.9, channels=(12,) * 8, pools=(3,), norm=nn.BatchNorm2d, optimizer=adam(2e-3), steps=150
)
averaged = healthy("averaged-gelu", 0.8, channels=(16, 32, 32), average=True, activation=nn.GELU, draw=he, steps=150)
pairs = healthy("group-norm-pairs", 0.75, norm=groups, batch_size=2, steps=300, optimizer=adam(2e-3))
momentum = healthy("wide-momentum", 0.9, channels=(32, 32), optimizer=sgd(0.05, momentum=0.9), draw=he)

NORMS = ("1", "4", "7", "10", "14", "17", "20", "23")

PROGRAMS = (
    plain,
    plain.but("bytes", kinds.UNSCALED, images=data.image_bytes, optimizer=sgd(0.05)),
    plain.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("7", "8"), head=Softmax, optimizer=sgd(0.1)),
    plain.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    plain.but("labels-shuffled", kinds.SHUFFLED_LABELS, images=lambda: data.images().shuffled_targets(), watched=120),
    batch_norm,
    pairs,
    batch_norm.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(3e-3))),
    deep,
    deep.but("sigmoid", kinds.SIGMOID_DEPTH.at(*between(0, 10)), activation=nn.Sigmoid),
    deep.but("weights-small", kinds.SMALL_WEIGHTS.at(*between(0, 10)), draw=normal(0.01)),
    deep.but("weights-large", kinds.LARGE_WEIGHTS.at(*between(0, 10)), draw=normal(0.7)),
    deep.but("detached", kinds.DETACHED.at(*between(0, 19)), cut=19),
    lenet,
    lenet.but("unit-normal", kinds.SATURATED.at(*between(0, 5)), draw=normal(2.0)),
    lenet.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6, momentum=0.9)),
    grouped,
    grouped.but("constant", kinds.SYMMETRIC.at("*"), draw=constant(0.05)),
    grouped.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(3e-3, weight_decay=100.0)),
    dropped,
    dropped.but("too-much", kinds.DROPOUT.at("7"), dropout=0.98),
    separable,
    deep_norm,
    deep_norm.but("evaluating", kinds.NORMALIZATION.at(*NORMS), change=evaluating),
    deep_norm.but("statistics-never-move", kinds.NORMALIZATION.at(*NORMS), norm=partial(nn.BatchNorm2d, momentum=1e-6)),
    averaged,
    averaged.but("head-only", kinds.WRONG_PARAMETERS.at(*between(0, 8)), optimizer=of_the_last(adam(3e-3), 2)),
    averaged.but("frozen", kinds.FROZEN.at("0", "3", "6"), change=frozen("0", "3", "6")),
    momentum,
    momentum.but("dead", kinds.DEAD_BY_BIAS.at("3", "4"), change=biased(-30.0, "3")),
    momentum.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(5.0, momentum=0.9)),
    momentum.but("twenty-samples", kinds.OVERFITTING, images=lambda: data.images().first(20), watched=120),
)
