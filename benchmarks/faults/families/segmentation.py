"""Networks that tell what each pixel belongs to: small U-Nets on digits in noise, and on discs and squares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds, tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    binary_cross_entropy,
    he,
    of_the_last,
    sgd,
)
from benchmarks.faults.recipe import healthy_of
from headwater.demo import cross_entropy

Norm = Callable[[int], nn.Module]


def block(
    inputs: int, outputs: int, norm: Norm | None, activation: Callable[[], nn.Module], dropout: float
) -> nn.Sequential:
    """Two 3×3 convolutions, each normalised and activated, and dropout of channels."""
    layers: list[nn.Module] = []
    for fan_in in (inputs, outputs):
        layers.append(nn.Conv2d(fan_in, outputs, 3, padding=1))
        layers += [*([norm(outputs)] if norm else []), activation()]
    return nn.Sequential(*layers, *([nn.Dropout2d(dropout)] if dropout else []))


class UNet(nn.Module):
    """Down twice and up again, each level handed over to the way up (Ronneberger et al. 2015)."""

    def __init__(
        self,
        width: int = 8,
        outputs: int = 1,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        head: Callable[[], nn.Module] = nn.Identity,
        handed: bool = True,
        cut: bool = False,
    ) -> None:
        super().__init__()
        made = partial(block, norm=norm, activation=activation, dropout=dropout)
        self.down1, self.down2, self.middle = made(1, width), made(width, 2 * width), made(2 * width, 2 * width)
        self.pool = nn.MaxPool2d(2)
        self.rise2 = nn.ConvTranspose2d(2 * width, 2 * width, 2, 2)
        self.up2 = made(4 * width if handed else 2 * width, width)
        self.rise1 = nn.ConvTranspose2d(width, width, 2, 2)
        self.up1 = made(2 * width if handed else width, width)
        self.head = nn.Sequential(nn.Conv2d(width, outputs, 1), head())
        self.handed, self.cut = handed, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, h, w) to (batch, outputs, h, w)."""
        fine = self.down1(x)
        coarse = self.down2(self.pool(fine))
        x = self.middle(self.pool(coarse))
        if self.cut:
            fine, coarse, x = fine.detach(), coarse.detach(), x.detach()
        x = self.up2(self._joined(self.rise2(x), coarse))
        return self.head(self.up1(self._joined(self.rise1(x), fine)))

    def _joined(self, x: Tensor, level: Tensor) -> Tensor:
        return torch.cat([x, level], 1) if self.handed else x


def weighted(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy in which the rare ink counts five times."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], pos_weight=torch.tensor(5.0))


def dice(model: nn.Module, batch: Any) -> Tensor:
    """One less the overlap of probabilities and ink over their mean size, softly (Milletari et al. 2016)."""
    ink, wanted = torch.sigmoid(model(batch[0])).flatten(1), batch[1].flatten(1)
    return (1 - (2 * (ink * wanted).sum(1) + 1) / (ink.sum(1) + wanted.sum(1) + 1)).mean()


def overlap(model: nn.Module, batches: Iterable[Any]) -> float:
    """Intersection over union of the pixels told to be ink and those that are."""
    return _overlap([(model(x) > 0, y > 0.5) for x, y in batches])


def probability_overlap(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of probabilities."""
    return _overlap([(model(x) > 0.5, y > 0.5) for x, y in batches])


def class_overlap(model: nn.Module, batches: Iterable[Any]) -> float:
    """Mean of the same over the classes that are not ground."""
    told = [(model(x).argmax(1), y) for x, y in batches]
    return sum(_overlap([(found == label, y == label) for found, y in told]) for label in (1, 2)) / 2


def _overlap(pairs: list[tuple[Tensor, Tensor]]) -> float:
    both = sum(int((found & wanted).sum()) for found, wanted in pairs)
    either = sum(int((found | wanted).sum()) for found, wanted in pairs)
    return both / max(either, 1)


healthy = healthy_of(
    "segmentation",
    network=UNet,
    task=tasks.canvases,
    loss=binary_cross_entropy,
    metric=overlap,
    optimizer=adam(5e-3),
    batch_size=32,
)
SHAPES: dict[str, Any] = {"task": tasks.shapes, "outputs": 3, "loss": cross_entropy, "metric": class_overlap}

unet = healthy("unet", 0.5, chance=0.1)
few = healthy(
    "unet-batches-of-four",
    0.4,
    chance=0.1,
    norm=partial(nn.GroupNorm, 4),
    batch_size=4,
    steps=200,
    optimizer=adam(2e-3),
)
rare = healthy("unet-rare-ink-counts-more", 0.4, chance=0.1, loss=weighted, dropout=0.1, optimizer=adamw(5e-3))
by_dice = healthy("unet-dice", 0.5, chance=0.1, loss=dice, activation=nn.SiLU)
plain = healthy("unet-plain", 0.4, chance=0.1, norm=None, optimizer=adam(3e-3), draw=he)
classes = healthy("unet-classes", 0.3, chance=0.05, optimizer=sgd(0.2, momentum=0.9), **SHAPES)

DOWN = ("down1*", "down2*", "middle*")

PROGRAMS = (
    unet,
    unet.but("sigmoid-before-loss", kinds.SOFTMAX_TWICE.at("head*"), head=nn.Sigmoid, metric=probability_overlap),
    unet.but("detached", kinds.DETACHED.at(*DOWN), cut=True),
    unet.but("ten-canvases", kinds.OVERFITTING, task=lambda: tasks.canvases().first(10), watched=150),
    few,
    few.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    rare,
    rare.but("dropout", kinds.DROPOUT, dropout=0.9),
    plain,
    plain.but("sixteen-bits", kinds.UNSCALED, task=tasks.sixteen_bits),
    plain.but("dead", kinds.DEAD_BY_BIAS.at("down1*"), change=biased(-20.0, "down1.2")),
    plain.but("blank-canvases", kinds.NAN_IN_DATA, task=tasks.blank_canvases),
    by_dice,
    by_dice.but("last-only", kinds.WRONG_PARAMETERS.at(*DOWN, "rise*", "up*"), optimizer=of_the_last(adam(5e-3), 2)),
    classes,
    classes.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(30.0, momentum=0.9)),
    classes.but("oscillating", kinds.OSCILLATION, optimizer=sgd(1.0, momentum=0.995)),
)
