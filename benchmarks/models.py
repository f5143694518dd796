"""The networks that overhead is measured on, with their data, loss and optimizer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# So small that the network stays as it was made. Time is measured here, not learning: a network that converges ends in
# subnormal gradients, on which every CPU is slow.
STILL = 1e-6


@dataclass(frozen=True)
class Training:
    """What a training step needs: the loss of the one batch, and the optimizer that follows it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[], Tensor]


class Case(Protocol):
    """A network to train. Cases are sent to other processes, so they hold numbers only."""

    @property
    def label(self) -> str:
        """Name for people."""
        ...

    def build(self) -> Training:
        """The network, its data and its optimizer, by torch's random state."""
        ...


@dataclass(frozen=True)
class Gpt2:
    """GPT-2 as its configuration has it (768 wide, dropout 0.1), with fewer blocks."""

    layers: int = 6
    batch: int = 4
    tokens: int = 128

    @property
    def label(self) -> str:
        """Name for people."""
        return f"GPT-2, {self.layers} layers, {self.batch}×{self.tokens} tokens, AdamW"

    def build(self) -> Training:
        """Random weights and tokens; each token is to be told from those before it."""
        from transformers import GPT2Config, GPT2LMHeadModel

        model = GPT2LMHeadModel(GPT2Config(n_layer=self.layers, use_cache=False)).train()
        tokens = torch.randint(0, model.config.vocab_size, (self.batch, self.tokens))
        following = tokens[:, 1:].flatten()
        optimizer = torch.optim.AdamW(model.parameters(), lr=STILL)

        def loss() -> Tensor:
            return F.cross_entropy(model(input_ids=tokens).logits[:, :-1].flatten(0, 1), following)

        return Training(model, optimizer, loss)


@dataclass(frozen=True)
class ResNet18:
    """The residual network of He et al. 2015 (arXiv:1512.03385), table 1, as torchvision builds it."""

    batch: int = 8
    size: int = 96

    @property
    def label(self) -> str:
        """Name for people."""
        return f"ResNet-18, {self.batch}×3×{self.size}×{self.size}, SGD with momentum"

    def build(self) -> Training:
        """He initialisation, 1,000 classes, random images."""
        model = resnet18()
        images, classes = torch.randn(self.batch, 3, self.size, self.size), torch.randint(0, 1000, (self.batch,))
        optimizer = torch.optim.SGD(model.parameters(), lr=STILL, momentum=0.9)
        return Training(model, optimizer, lambda: F.cross_entropy(model(images), classes))


@dataclass(frozen=True)
class Mlp:
    """Small layers in a row: little arithmetic per tensor, the worst case for whoever looks at every tensor."""

    depth: int = 50
    width: int = 256
    batch: int = 128

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.depth} × (Linear({self.width}) + ReLU), batch {self.batch}, SGD"

    def build(self) -> Training:
        """He initialisation, so that signals keep their size at any depth."""
        linears = [nn.Linear(self.width, self.width) for _ in range(self.depth)]
        for linear in linears:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
        model = nn.Sequential(*(layer for linear in linears for layer in (linear, nn.ReLU())))
        inputs, classes = torch.randn(self.batch, self.width), torch.randint(0, self.width, (self.batch,))
        optimizer = torch.optim.SGD(model.parameters(), lr=STILL)
        return Training(model, optimizer, lambda: F.cross_entropy(model(inputs), classes))


CASES: dict[str, Case] = {"gpt2": Gpt2(), "resnet18": ResNet18(), "mlp": Mlp()}


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut; the ReLU writes in place, as everyone's does."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


def resnet18(classes: int = 1000) -> nn.Sequential:
    """Stem, four stages of two blocks, pooling and a linear layer; 11.7 million parameters."""
    stem = [conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    widths = (64, 64, 128, 256, 512)
    stages = [
        nn.Sequential(Block(inputs, outputs, 1 if inputs == outputs else 2), Block(outputs, outputs, 1))
        for inputs, outputs in pairwise(widths)
    ]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution without bias, which the normalisation after it would take away."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
