"""Residual networks: convolutional and dense ones, a norm before or after, shortcuts that are missing where told.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import adam, adamw, evaluating, frozen, normal, rmsprop, sgd
from benchmarks.faults.recipe import healthy_of


class Residual(nn.Module):
    """Norm, activation and linear map, twice, beside a shortcut."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor], norm: bool, shortcut: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width) if norm else nn.Identity()
        self.norm2 = nn.LayerNorm(width) if norm else nn.Identity()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
        self.act, self.shortcut = act, shortcut

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc2(self.act(self.norm2(self.fc1(self.act(self.norm1(x))))))
        return x + h if self.shortcut else h


class DenseResNet(nn.Module):
    """A linear stem, residual blocks, a linear head."""

    def __init__(
        self,
        inputs: int = 64,
        width: int = 64,
        depth: int = 6,
        classes: int = 10,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: bool = True,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(Residual(width, act, norm, shortcut) for _ in range(depth)))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.blocks(self.stem(x))))


class Basic(nn.Module):
    """Two convolutions with batch normalisation (He et al. 2016)."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.down = nn.Identity() if stride == 1 and inputs == width else nn.Conv2d(inputs, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.down(x))


class ResNet(nn.Module):
    """A stem, three stages of basic blocks, a mean over the places, a linear head."""

    def __init__(self, width: int = 8, classes: int = 10, softmax: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, 1, 1)
        self.layer1 = Basic(width, width)
        self.layer2 = Basic(width, 2 * width, 2)
        self.layer3 = Basic(2 * width, 4 * width, 2)
        self.fc = nn.Linear(4 * width, classes)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.conv(x)))))
        x = self.fc(x.mean((2, 3)))
        return x.softmax(1) if self.softmax else x


healthy = healthy_of("skips", network=DenseResNet, task=data.digits, optimizer=adam(1e-3), steps=120, batch_size=64)
IMAGES: dict[str, Any] = {"network": ResNet, "task": data.images}
LOANS: dict[str, Any] = {"task": tasks.loans, "inputs": 12, "classes": 3, "width": 32}

dense = healthy("digits-dense", 0.8, 0.1)
dense_tanh = healthy(
    "digits-dense-tanh-12", 0.8, 0.1, act=torch.tanh, norm=False, depth=12, width=48, optimizer=adam(2e-3)
)
dense_sgd = healthy("digits-dense-gelu-momentum", 0.8, 0.1, act=F.gelu, depth=4, optimizer=sgd(0.05, momentum=0.9))
loans = healthy("loans-dense", 0.7, 0.36, depth=3, optimizer=adamw(3e-3), **LOANS)
resnet = healthy("images-resnet", 0.8, 0.1, optimizer=adam(3e-3), **IMAGES)
resnet_sgd = healthy(
    "images-resnet-momentum", 0.8, 0.1, optimizer=sgd(0.05, momentum=0.9, weight_decay=5e-4), batch_size=32, **IMAGES
)
resnet_rms = healthy("images-resnet-rmsprop", 0.8, 0.1, width=12, optimizer=rmsprop(1e-3), steps=100, **IMAGES)

PROGRAMS = (
    dense,
    dense.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-5)),
    dense.but("frozen", kinds.FROZEN.at("stem", "blocks*"), change=frozen("stem", "blocks"), width=12),
    dense_tanh,
    dense_tanh.but("no-shortcut", kinds.NO_SHORTCUT.at("blocks.*"), shortcut=False, act=torch.sigmoid),
    dense_tanh.but("small-no-shortcut", kinds.SMALL_WEIGHTS.at("blocks.*", "stem"), shortcut=False, draw=normal(0.02)),
    dense_sgd,
    dense_sgd.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(5.0, momentum=0.9)),
    loans,
    loans.but("as-kept", kinds.UNSCALED, task=tasks.loans_as_kept, norm=False, optimizer=sgd(1e-3)),
    resnet,
    resnet.but("softmax-twice", kinds.SOFTMAX_TWICE.at("fc", ""), softmax=True, optimizer=sgd(0.1)),
    resnet_sgd,
    resnet_sgd.but("in-eval", kinds.NORMALIZATION.at("*bn?"), change=evaluating),
    resnet_sgd.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.images().shuffled_targets(), watched=120),
    resnet_rms,
)
