"""Networks with shortcuts: residual blocks of linear layers and of convolutions, gated and normalised in many ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Change,
    Draw,
    Loss,
    Optimize,
    adam,
    adamw,
    constant,
    drawn,
    experiment,
    frozen,
    he,
    normal,
    of_a_copy,
    of_the_last,
    sgd,
)
from benchmarks.faults.program import Program
from headwater.demo import cross_entropy
from headwater.records import Experiment

USUAL = adam()


class LinearBlock(nn.Module):
    """x + gate · f(x), f two linear layers with an activation between and a normalisation before."""

    def __init__(self, width: int, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.norm = recipe["norm"](width) if recipe["norm"] else nn.Identity()
        self.expand, self.act = nn.Linear(width, width), recipe["activation"]()
        self.contract, self.drop = nn.Linear(width, width), nn.Dropout(recipe["dropout"])
        gate = recipe["gate"]
        self.gate = nn.Parameter(torch.tensor(float(gate))) if gate is not None else None
        self.shortcut = recipe["shortcut"]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width) to the same."""
        y = self.drop(self.contract(self.act(self.expand(self.norm(x)))))
        y = y if self.gate is None else self.gate * y
        return x + y if self.shortcut else y


class ImageBlock(nn.Module):
    """Two convolutions with batch normalisation and ReLU in place, added to what came in (He et al. 2015)."""

    def __init__(self, width: int, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        norm = recipe["norm"] or (lambda channels: nn.Identity())
        self.bn1, self.bn2 = norm(width), norm(width)
        self.act = recipe["activation"]()
        self.drop = nn.Dropout2d(recipe["dropout"])
        self.shortcut = recipe["shortcut"]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) to the same."""
        y = self.act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(self.drop(y)))
        return self.act(x + y if self.shortcut else y)


class Residual(nn.Module):
    """A stem, blocks and a head; the graph may be cut off before one of the blocks."""

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module, cut: int | None) -> None:
        super().__init__()
        self.stem, self.blocks, self.head, self.cut = stem, nn.ModuleList(blocks), head, cut

    def forward(self, x: Tensor) -> Tensor:
        """Inputs to logits."""
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = block(x.detach() if index == self.cut else x)
        return self.head(x)


def residual(
    digits: Callable[[], data.Split] = data.digits,
    blocks: int = 8,
    width: int = 64,
    image: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
    norm: Callable[[int], nn.Module] | None = nn.LayerNorm,
    gate: float | None = None,
    shortcut: bool = True,
    dropout: float = 0.0,
    softmax: bool = False,
    cut: int | None = None,
    draw: Draw | None = None,
    loss: Loss = cross_entropy,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """A residual network.

    Args:
        digits: The data.
        blocks: Number of blocks.
        width: Units or channels.
        image: Whether blocks are convolutions.
        activation: In the blocks.
        norm: Made for a width.
        gate: Where a learned factor of each branch starts, if there is one (ReZero: 0).
        shortcut: Whether blocks add to what comes in.
        dropout: In the branches.
        softmax: Whether the head ends in one.
        cut: Index of the block before which the graph is cut off.
        draw: How weights are drawn; PyTorch's way by default.
        loss: What is minimised.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """
    recipe = {"norm": norm, "activation": activation, "gate": gate, "shortcut": shortcut, "dropout": dropout}

    def model() -> nn.Module:
        make = ImageBlock if image else LinearBlock
        stem: nn.Module = nn.Linear(64, width)
        end: list[nn.Module] = [nn.LayerNorm(width)] if norm is nn.LayerNorm else []
        if image:
            stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            end = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        end += [nn.Linear(width, 10), *([nn.Softmax(1)] if softmax else [])]
        network = Residual(stem, [make(width, recipe) for _ in range(blocks)], nn.Sequential(*end), cut)
        return drawn(network, draw)

    return experiment(model, digits(), optimizer, loss=loss, batch_size=batch_size, change=change)


def healthy(name: str, learns: float, steps: int = 120, **recipe: Any) -> Program:
    """A healthy program of this family."""
    return Program(f"resnet/{name}", "resnet", partial(residual, **recipe), steps=steps, chance=0.1, learns=learns)


def fixup(blocks: int) -> Change:
    """Zero last layers in each branch, the others scaled down (Zhang et al. 2019, Fixup)."""

    def change(model: nn.Module) -> None:
        for block in model.blocks:
            nn.init.kaiming_normal_(block.expand.weight, nonlinearity="relu")
            with torch.no_grad():
                block.expand.weight.mul_(blocks**-0.5)
            nn.init.zeros_(block.contract.weight)

    return change


def zero_gamma(model: nn.Module) -> None:
    """The last normalisation of each branch starts at 0 (Goyal et al. 2017, section 5.1)."""
    for block in model.blocks:
        nn.init.zeros_(block.bn2.weight)


def in_place() -> nn.Module:
    """ReLU that overwrites its input."""
    return nn.ReLU(inplace=True)


IMAGE: dict[str, Any] = {
    "digits": data.images,
    "image": True,
    "norm": nn.BatchNorm2d,
    "width": 12,
    "activation": in_place,
}

pre_norm = healthy("pre-norm-8", 0.9)
deep = healthy("pre-norm-30", 0.9, blocks=30, width=48, optimizer=adam(5e-4), steps=100)
rezero = healthy("rezero-20", 0.9, blocks=20, norm=None, gate=0.0, draw=he, optimizer=adam(2e-3))
layer_scale = healthy(
    "layer-scale-gelu", 0.9, blocks=10, gate=0.1, activation=nn.GELU, optimizer=adamw(1e-3, weight_decay=0.05)
)
fixed_up = healthy("fixup-10", 0.9, blocks=10, norm=None, change=fixup(10), optimizer=sgd(0.05, momentum=0.9))
images = healthy("images-batch-norm", 0.9, blocks=4, optimizer=adam(3e-3), **IMAGE)
zeroed = healthy("images-zero-gamma", 0.9, blocks=4, change=zero_gamma, optimizer=adam(5e-3), **IMAGE)
plain_sum = healthy("unnormalised-4", 0.9, blocks=4, norm=None, activation=nn.Tanh, optimizer=sgd(0.05, momentum=0.9))
dropped = healthy("dropout", 0.9, blocks=6, dropout=0.2, activation=nn.SiLU)

BLOCKS = ("blocks.*",)
EARLY_30 = tuple(f"blocks.{index}.*" for index in range(15))

PROGRAMS = (
    pre_norm,
    pre_norm.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("head.*"), softmax=True, optimizer=sgd(0.02)),
    pre_norm.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    pre_norm.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-8)),
    pre_norm.but("labels-shuffled", kinds.SHUFFLED_LABELS, digits=lambda: data.digits().shuffled_targets()),
    deep,
    deep.but("no-shortcut", kinds.NO_SHORTCUT.at("stem", *EARLY_30), shortcut=False, norm=None, activation=nn.Sigmoid),
    deep.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(5e-4))),
    rezero,
    rezero.but("no-gate", kinds.LARGE_WEIGHTS.at("stem", *BLOCKS), gate=None, draw=normal(0.5)),
    rezero.but("no-shortcut", kinds.RANK_COLLAPSE.at("*"), gate=None, shortcut=False, blocks=50, width=48),
    layer_scale,
    layer_scale.but("detached", kinds.DETACHED.at("stem", *BLOCKS), cut=9),
    layer_scale.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(1e-3, weight_decay=200.0)),
    fixed_up,
    fixed_up.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(20.0, momentum=0.9)),
    images,
    images.but(
        "statistics-never-move", kinds.NORMALIZATION.at("blocks.*.bn*"), norm=partial(nn.BatchNorm2d, momentum=1e-4)
    ),
    images.but("head-only", kinds.WRONG_PARAMETERS.at("stem*", *BLOCKS), optimizer=of_the_last(adam(3e-3), 2)),
    images.but("frozen", kinds.FROZEN.at("stem*", *BLOCKS), change=frozen("stem", "blocks")),
    zeroed,
    zeroed.but("twenty-samples", kinds.OVERFITTING, digits=lambda: data.images().first(20), watched=120),
    plain_sum,
    plain_sum.but("bytes", kinds.UNSCALED, digits=data.digit_bytes),
    plain_sum.but("constant", kinds.SYMMETRIC.at("*"), draw=constant(0.01)),
    dropped,
    dropped.but("too-much", kinds.DROPOUT.at("blocks.*.drop"), dropout=0.99),
)
