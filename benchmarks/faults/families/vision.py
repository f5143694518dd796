"""Convolutional networks: LeNet, VGG and all-convolutional ones, on textures, dots and digits; one on sound.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    frozen,
    he,
    normal,
    of_a_copy,
    one_cycle,
    rmsprop,
    sgd,
    xavier,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class LeNet(nn.Module):
    """Two convolutions, each with a pool, and three linear layers; calls of ``F`` in ``forward``."""

    def __init__(
        self,
        channels: int = 3,
        classes: int = 6,
        side: int = tasks.SIDE,
        act: str = "relu",
        p: float = 0.0,
        softmax: bool = False,
        bottleneck: int | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=2)
        self.fc1 = nn.Linear(16 * (side // 4) ** 2, 60)
        self.fc2 = nn.Linear(60, bottleneck or 40)
        self.fc3 = nn.Linear(bottleneck or 40, classes)
        self.act = getattr(torch, act)
        self.p, self.softmax = p, softmax

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.act(self.conv1(x)), 2)
        x = F.avg_pool2d(self.act(self.conv2(x)), 2).flatten(1)
        x = self.act(self.fc1(x))
        x = F.dropout(self.act(self.fc2(x)), self.p, self.training)
        x = self.fc3(x)
        return F.softmax(x, dim=1) if self.softmax else x


def vgg(
    plan: tuple[int | str, ...] = (16, "M", 32, "M"),
    channels: int = 3,
    classes: int = 6,
    norm: bool = False,
    act: type[nn.Module] = nn.ReLU,
    p: float = 0.0,
) -> nn.Module:
    """Convolutions of 3×3 as planned, "M" for a pool, a mean over the places and a linear layer."""
    features: list[nn.Module] = []
    for step in plan:
        if isinstance(step, str):
            features.append(nn.MaxPool2d(2))
            continue
        features += [nn.Conv2d(channels, step, 3, padding=1), *([nn.BatchNorm2d(step)] if norm else []), act()]
        channels = step
    parts = OrderedDict[str, nn.Module]()
    parts["features"] = nn.Sequential(*features)
    parts["pool"] = nn.AdaptiveAvgPool2d(2)
    parts["classifier"] = nn.Sequential(nn.Flatten(), nn.Dropout(p), nn.Linear(4 * channels, classes))
    return nn.Sequential(parts)


class Strided(nn.Module):
    """Convolutions with a stride instead of pools, group normalisation, a mean over the places."""

    def __init__(self, channels: int = 3, classes: int = 6, width: int = 16, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.down1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(4, 2 * width) if norm else nn.Identity()
        self.norm2 = nn.GroupNorm(4, 2 * width) if norm else nn.Identity()
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.stem(x))
        x = F.gelu(self.norm1(self.down1(x)))
        x = F.gelu(self.norm2(self.down2(x)))
        return self.head(x.mean((2, 3)))


class Sound(nn.Module):
    """Convolutions over time."""

    def __init__(self, width: int = 16, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(1, width, 7, padding=3), act(), nn.MaxPool1d(2)),
            *(nn.Conv1d(width, 2 * width, 5, padding=2), act(), nn.MaxPool1d(2)),
        )
        self.out = nn.Linear(2 * width * 10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(x).flatten(1))


def smoothed(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of smoothed labels."""
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)


healthy = healthy_of("vision", network=LeNet, task=tasks.textures, optimizer=adam(2e-3), steps=200, batch_size=64)
DOTS: dict[str, Any] = {"task": tasks.dots, "channels": 1, "classes": 4}
DIGITS: dict[str, Any] = {"task": tasks.noisy_digits, "channels": 1, "classes": 10}
SMALL: dict[str, Any] = {"task": data.images, "channels": 1, "classes": 10, "side": 8}
DEEP = (16, 16, "M", 32, 32, 32, "M", 32, 32, 32)

lenet = healthy("textures-lenet", 0.8, 0.21)
lenet_tanh = healthy("digits-lenet-tanh", 0.8, 0.12, act="tanh", optimizer=sgd(0.1, momentum=0.9), steps=300, **DIGITS)
lenet_small = healthy("images-lenet", 0.8, 0.1, optimizer=rmsprop(1e-3), p=0.3, steps=400, **SMALL)
lenet_cycle = healthy(
    "images-lenet-one-cycle", 0.8, 0.1, optimizer=one_cycle(adamw(1e-3), 5e-3, 300), steps=300, **SMALL
)
plain = healthy("textures-vgg", 0.8, 0.21, network=vgg, steps=250)
plain_smooth = healthy("dots-vgg-smoothed", 0.7, 0.29, network=vgg, loss=smoothed, optimizer=adam(3e-3), **DOTS)
normed = healthy(
    "textures-vgg-batch-norm", 0.8, 0.21, network=vgg, norm=True, optimizer=sgd(0.05, momentum=0.9, weight_decay=5e-4)
)
normed_digits = healthy(
    "digits-vgg-batch-norm-annealed",
    0.8,
    0.12,
    network=vgg,
    norm=True,
    p=0.3,
    optimizer=annealed(adamw(3e-3), 120),
    steps=120,
    **DIGITS,
)
deep = healthy("digits-vgg-8-he", 0.8, 0.12, network=vgg, plan=DEEP, draw=he, optimizer=adam(1e-3), steps=150, **DIGITS)
elu = healthy(
    "textures-vgg-elu-xavier", 0.8, 0.21, network=vgg, act=nn.ELU, draw=xavier, optimizer=adam(2e-3), batch_size=32
)
strided = healthy("textures-strided-group-norm", 0.8, 0.21, network=Strided, optimizer=adamw(3e-3))
strided_digits = healthy(
    "digits-strided-unnormed",
    0.8,
    0.12,
    network=Strided,
    norm=False,
    optimizer=adam(3e-3),
    batch_size=128,
    steps=300,
    **DIGITS,
)
sound = healthy("tones-conv-1d", 0.8, 0.27, network=Sound, task=tasks.tones, optimizer=adam(2e-3))
sound_leaky = healthy(
    "tones-conv-1d-sgd",
    0.8,
    0.27,
    network=Sound,
    task=tasks.tones,
    act=nn.LeakyReLU,
    width=12,
    optimizer=sgd(0.05, momentum=0.9),
)

# All that the network knows of a picture has to go through one number.
BOTTLENECK = Fault(("underfitting", "rank_collapse"), ("capacity_or_label_noise",))
SIGMOID_FEW = Fault(
    ("vanishing", "underflow", "rank_collapse", "lr_too_low"),
    ("activation_derivative", "depth_without_shortcut", "non_zero_centered"),
)

PROGRAMS = (
    lenet,
    lenet.but("bytes", kinds.UNSCALED, task=tasks.texture_bytes, optimizer=sgd(0.02)),
    lenet.but("one-unit", BOTTLENECK.at("fc2", "fc3"), bottleneck=1, watched=150),
    lenet_tanh,
    lenet_tanh.but("forty-pictures", kinds.OVERFITTING, task=lambda: tasks.noisy_digits().first(40), watched=150),
    lenet_tanh.but("sigmoid", SIGMOID_FEW.at("*"), act="sigmoid", optimizer=sgd(0.02)),
    lenet_tanh.but("large", kinds.SATURATED.at("*"), draw=normal(1.0)),
    lenet_small,
    lenet_small.but("softmax-twice", kinds.SOFTMAX_TWICE.at("fc3", ""), softmax=True, optimizer=sgd(0.1)),
    lenet_cycle,
    lenet_cycle.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(2.0, momentum=0.9)),
    plain,
    plain.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    plain_smooth,
    plain_smooth.but("copy", kinds.WRONG_PARAMETERS.at("*"), optimizer=of_a_copy(adam(3e-3))),
    normed,
    normed_digits,
    deep,
    deep.but("hundredth", kinds.SMALL_WEIGHTS.at("features*"), draw=normal(0.01)),
    deep.but("large", kinds.LARGE_WEIGHTS.at("features*"), draw=normal(0.6)),
    deep.but("dead", kinds.DEAD_BY_BIAS.at("features*"), change=biased(-25.0, "features.7")),
    elu,
    strided,
    strided.but(
        "frozen", kinds.FROZEN.at("stem", "down*", "norm*"), change=frozen("stem", "down1", "down2", "norm1", "norm2")
    ),
    strided_digits,
    sound,
    sound.but("rate-high-adam", kinds.RATE_HIGH, optimizer=adam(1.0)),
    sound_leaky,
)
