"""Convolutional networks from lists like [16, 'M', 32, 'M']: LeNet, a small VGG, one without pooling, inception, 1-d.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    rmsprop,
    scaled,
    sgd,
)
from benchmarks.faults.recipe import healthy_of

Act = Callable[[], nn.Module]
INPLACE = partial(nn.ReLU, inplace=True)


def make_layers(cfg: tuple[int | str, ...], inputs: int, act: Act, bn: bool, dim: int = 2) -> nn.Sequential:
    """Convolutions by their channels, "M" for a maximum and "A" for a mean over pairs, "S" for a stride of two."""
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dim == 2 else (nn.Conv1d, nn.BatchNorm1d)
    layers: list[nn.Module] = []
    stride = 1
    for v in cfg:
        if v == "S":
            stride = 2
        elif v == "M":
            layers.append(nn.MaxPool2d(2) if dim == 2 else nn.MaxPool1d(2))
        elif v == "A":
            layers.append(nn.AvgPool2d(2) if dim == 2 else nn.AvgPool1d(2))
        else:
            layers.append(conv(inputs, int(v), 3, stride=stride, padding=1, bias=not bn))
            layers += [norm(int(v))] if bn else []
            layers.append(act())
            inputs, stride = int(v), 1
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """``features``, then ``classifier``."""

    def __init__(
        self,
        cfg: tuple[int | str, ...] = (16, "M", 32, "M"),
        inputs: int = 1,
        flat: int = 128,
        hidden: int = 64,
        classes: int = 10,
        act: Act = nn.ReLU,
        bn: bool = False,
        p: float = 0.0,
        pooled: bool = False,
        dim: int = 2,
        tail: Act | None = None,
        features_off: bool = False,
    ) -> None:
        super().__init__()
        self.features = make_layers(cfg, inputs, act, bn, dim)
        head: list[nn.Module] = [nn.Dropout(p), nn.Linear(flat, hidden), act(), nn.Dropout(p)] if hidden else []
        self.classifier = nn.Sequential(*head, nn.Linear(hidden or flat, classes), *([tail()] if tail else []))
        self.pooled, self.features_off = pooled, features_off

    def forward(self, x: Tensor) -> Tensor:
        if self.features_off:
            with torch.no_grad():
                x = self.features(x)
        else:
            x = self.features(x)
        return self.classifier(x.flatten(2).mean(2) if self.pooled else x.flatten(1))


class Inception(nn.Module):
    """Four ways side by side, twice (Szegedy et al. 2015)."""

    def __init__(self, inputs: int = 3, each: int = 8, classes: int = 6, bn: bool = True, p: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, 16, 3, padding=1)
        self.block1, self.block2 = self._block(16, each, bn), self._block(4 * each, each, bn)
        self.drop, self.fc = nn.Dropout(p), nn.Linear(4 * each, classes)

    @staticmethod
    def _block(inputs: int, each: int, bn: bool) -> nn.ModuleDict:
        def conv(a: int, size: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(a, each, size, padding=size // 2), nn.BatchNorm2d(each) if bn else nn.Identity(), nn.ReLU()
            )

        return nn.ModuleDict(
            {
                "one": conv(inputs, 1),
                "three": nn.Sequential(conv(inputs, 1), conv(each, 3)),
                "five": nn.Sequential(conv(inputs, 1), conv(each, 3), conv(each, 3)),
                "pool": nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, 1)),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for block in (self.block1, self.block2):
            x = torch.cat([way(x) for way in block.values()], 1)
            x = F.max_pool2d(x, 2)
        return self.fc(self.drop(x.mean((2, 3))))


class Softmax(nn.Softmax):
    """Over the classes."""

    def __init__(self) -> None:
        super().__init__(dim=1)


healthy = healthy_of("convolved", network=VGG, task=data.images, optimizer=adam(2e-3), steps=150, batch_size=50)
BADGES: dict[str, Any] = {"task": tasks.badges, "inputs": 3, "classes": 6}
SENSORS: dict[str, Any] = {"task": tasks.sensors, "inputs": 3, "classes": 5, "dim": 1}

vgg = healthy("digits-vgg", 0.8, 0.1)
lenet = healthy(
    "digits-lenet-tanh", 0.8, 0.1, cfg=(6, "A", 16, "A"), flat=64, act=nn.Tanh, optimizer=sgd(0.1, momentum=0.9)
)
badges = healthy("badges-vgg", 0.8, 0.17, cfg=(16, "M", 24, "M"), flat=216, act=INPLACE, **BADGES)
strided = healthy(
    "badges-strided-batch-norm",
    0.8,
    0.17,
    cfg=(16, "S", 24, 24, "S", 32),
    flat=32,
    hidden=0,
    bn=True,
    pooled=True,
    optimizer=sgd(0.1, momentum=0.9),
    **BADGES,
)
inception = healthy("badges-inception", 0.8, 0.17, network=Inception, task=tasks.badges, optimizer=adamw(5e-3))
signal = healthy("sensors-1d", 0.8, 0.2, cfg=(16, "M", 32, "M", 32), flat=32, pooled=True, **SENSORS)
signal_norm = healthy(
    "sensors-1d-batch-norm-dropout",
    0.8,
    0.2,
    cfg=(12, "M", 24, "M"),
    flat=24 * 12,
    bn=True,
    p=0.4,
    act=nn.LeakyReLU,
    optimizer=rmsprop(1e-3),
    **SENSORS,
)
tall = healthy(
    "digits-vgg-norm-9",
    0.8,
    0.1,
    cfg=(8, 8, 8, "M", 16, 16, 16, "M", 16, 16, 16),
    flat=64,
    hidden=0,
    bn=True,
    optimizer=sgd(0.1, momentum=0.9),
)
large = healthy(
    "large-digits-selu",
    0.8,
    0.1,
    task=tasks.large_digits,
    cfg=(8, "M", 16, "M", 16, "M"),
    flat=64,
    act=nn.SELU,
    optimizer=sgd(0.03, momentum=0.9, weight_decay=1e-4),
)

PROGRAMS = (
    vgg,
    vgg.but("features-no-grad", kinds.DETACHED.at("features*"), features_off=True, cfg=(2, "M", 2, "M"), flat=8),
    lenet,
    lenet.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(8.0, momentum=0.9)),
    badges,
    badges.but("bytes", kinds.UNSCALED, task=tasks.badge_bytes, optimizer=sgd(0.05)),
    badges.but("softmax", kinds.SOFTMAX_TWICE.at("classifier.5", "classifier.4"), tail=Softmax, optimizer=sgd(0.05)),
    strided,
    strided.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=sgd(0.1, momentum=0.9, weight_decay=0.5)),
    strided.but("pairs", kinds.NORMALIZATION.at("features.1", "features.4", "features.7", "features.10"), batch_size=2),
    inception,
    inception.but("dropout", kinds.DROPOUT.at("drop"), p=0.97),
    signal,
    signal.but("small-filters", kinds.SMALL_WEIGHTS.at("features*"), change=scaled(0.003, "features")),
    signal.but("no-activation", kinds.LINEAR, act=nn.Identity, cfg=(16, "A", 32, "A", 32)),
    signal_norm,
    tall,
    tall.but("sigmoid", kinds.SIGMOID_DEPTH.at("features*"), act=nn.Sigmoid, bn=False),
    large,
)
