"""Pictures that are spoilt on purpose while they are learnt from: mixed, cut out, shifted, blurred; and many bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    forgetful,
    lion,
    nadam,
    norm_clipped,
    one_cycle,
    sgd,
)
from benchmarks.faults.recipe import healthy_of


class Separable(nn.Module):
    """Each channel by itself, then all of them at each place (Howard et al. 2017), a way round them."""

    def __init__(
        self, width: int, act: Callable[[Tensor], Tensor], norm: Callable[[int], nn.Module], squeeze: bool
    ) -> None:
        super().__init__()
        self.up, self.norm_up = nn.Conv2d(width, 2 * width, 1, bias=False), norm(2 * width)
        self.deep, self.norm_deep = (
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False),
            norm(2 * width),
        )
        self.down, self.norm_down = nn.Conv2d(2 * width, width, 1, bias=False), norm(width)
        self.squeeze = nn.Sequential(nn.Linear(2 * width, 8), nn.ReLU(), nn.Linear(8, 2 * width)) if squeeze else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, height, width) to the same."""
        h = self.act(self.norm_up(self.up(x)))
        h = self.act(self.norm_deep(self.deep(h)))
        if self.squeeze is not None:
            h = h * F.hardsigmoid(self.squeeze(h.mean((2, 3))))[..., None, None]
        return x + self.norm_down(self.down(h))


class Mobile(nn.Module):
    """Separable blocks."""

    def __init__(
        self,
        width: int = 16,
        blocks: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu6,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        squeeze: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1), norm(width)
        self.blocks = nn.ModuleList(Separable(width, act, norm, squeeze) for _ in range(blocks))
        self.classify = nn.Linear(width, 10)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        h = self.act(self.norm(self.stem(x)))
        for index, block in enumerate(self.blocks):
            h = block(h if index != 1 else F.avg_pool2d(h, 2))
        h = h.mean((2, 3))
        return self.classify(h.detach() if self.cut else h)


class Branches(nn.Module):
    """Filters of three sizes and a pool side by side, twice (Szegedy et al. 2015)."""

    def __init__(self, width: int = 8, act: Callable[[Tensor], Tensor] = F.relu, softmax: bool = False) -> None:
        super().__init__()
        self.ones, self.threes, self.fives, self.pooled = (
            nn.ModuleList(nn.Conv2d(inputs, width, size, padding=size // 2) for inputs in (1, 4 * width))
            for size in (1, 3, 5, 1)
        )
        self.drop = nn.Dropout(0.4)
        self.classify = nn.Linear(4 * width, 10)
        self.act, self.softmax = act, softmax

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        for one, three, five, pool in zip(self.ones, self.threes, self.fives, self.pooled, strict=True):
            parts = [one(x), three(x), five(x), pool(F.max_pool2d(x, 3, 1, 1))]
            x = F.max_pool2d(self.act(torch.cat(parts, 1)), 2)
        y = self.classify(self.drop(x.mean((2, 3))))
        return y.softmax(1) if self.softmax else y


class Vgg(nn.Module):
    """Convolutions in pairs, then two large layers with a dropout of a half (Simonyan and Zisserman 2015)."""

    def __init__(
        self, width: int = 16, act: Callable[[Tensor], Tensor] = F.relu, dropout: float = 0.5, blur: bool = False
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1)
            for a, b in ((1, width), (width, width), (width, 2 * width), (2 * width, 2 * width))
        )
        self.full = nn.ModuleList([nn.Linear(2 * width * 4, 128), nn.Linear(128, 64)])
        self.classify = nn.Linear(64, 10)
        self.drop, self.act = nn.Dropout(dropout), act
        self.pool = nn.AvgPool2d(2) if blur else nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        for index, conv in enumerate(self.convs):
            x = self.act(conv(x))
            x = self.pool(x) if index % 2 else x
        x = x.flatten(1)
        for layer in self.full:
            x = self.drop(self.act(layer(x)))
        return self.classify(x)


class Crossed(nn.Module):
    """Places as two channels more (Liu et al. 2018), strides instead of pools, instance norms."""

    def __init__(self, width: int = 16, act: Callable[[Tensor], Tensor] = F.leaky_relu) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, width, 3, 2, 1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.norm = nn.InstanceNorm2d(width, affine=True)
        self.classify = nn.Linear(8 * width, 10)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        axis = torch.linspace(-1, 1, 8)
        places = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).expand(len(x), 2, 8, 8)
        h = self.act(self.norm(self.first(torch.cat([x, places], 1))))
        return self.classify(self.act(self.second(h)).flatten(1))


def usual(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy."""
    return F.cross_entropy(model(x), y)


def spoilt(how: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any], Tensor]:
    """Cross-entropy of pictures that are spoilt in training only."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x = how(batch[0]) if model.training else batch[0]
        return usual(model, x, batch[1])

    return loss


def shifted(x: Tensor) -> Tensor:
    """By up to a pixel in each direction."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return x.roll((down, right), (2, 3))


def cut_out(x: Tensor) -> Tensor:
    """A square of 3×3 pixels gone from each (DeVries and Taylor 2017)."""
    axis = torch.arange(8)
    top, left = torch.randint(6, (2, len(x), 1))
    rows, columns = (axis >= top) & (axis < top + 3), (axis >= left) & (axis < left + 3)
    return x.masked_fill((rows[:, :, None] & columns[:, None])[:, None], 0.0)


def in_noise(x: Tensor) -> Tensor:
    """With noise, and brighter or darker."""
    return x * (0.8 + 0.4 * torch.rand(len(x), 1, 1, 1)) + 0.3 * torch.randn_like(x)


def mixed(model: nn.Module, batch: Any) -> Tensor:
    """Two pictures at once, and both labels in the same shares (Zhang et al. 2018)."""
    x, y = batch
    if not model.training:
        return usual(model, x, y)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    order = torch.randperm(len(x))
    logits = model(share * x + (1 - share) * x[order])
    return share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[order])


def twice(model: nn.Module, batch: Any) -> Tensor:
    """Two answers under two dropouts, which should be alike (R-Drop; Liang et al. 2021)."""
    one, two = model(batch[0]), model(batch[0])
    p, q = one.log_softmax(1), two.log_softmax(1)
    apart = F.kl_div(p, q, reduction="batchmean", log_target=True) + F.kl_div(
        q, p, reduction="batchmean", log_target=True
    )
    return F.cross_entropy(one, batch[1]) + F.cross_entropy(two, batch[1]) + 0.5 * apart


healthy = healthy_of("augmented", network=Mobile, task=data.images, optimizer=adam(3e-3), steps=120)

mobile = healthy("mobile-shifted", 0.8, 0.1, loss=spoilt(shifted), optimizer=annealed(adam(1e-2), 120))
squeezed = healthy(
    "mobile-squeezed-cut-out", 0.8, 0.1, squeeze=True, act=F.hardswish, loss=spoilt(cut_out), optimizer=adamw(1e-2)
)
grouped = healthy(
    "mobile-group-norm-mixed",
    0.75,
    0.1,
    norm=lambda width: nn.GroupNorm(4, width),
    act=F.silu,
    loss=mixed,
    optimizer=annealed(nadam(1e-2), 150),
    batch_size=32,
    steps=150,
)
branches = healthy("branches-mixed", 0.75, 0.1, network=Branches, loss=mixed, optimizer=adam(1e-2), steps=200)
branches_elu = healthy(
    "branches-elu-noise",
    0.75,
    0.1,
    network=Branches,
    act=F.elu,
    loss=spoilt(in_noise),
    optimizer=sgd(0.1, momentum=0.9),
)
vgg = healthy(
    "vgg-dropout-half", 0.8, 0.1, network=Vgg, loss=spoilt(shifted), optimizer=adamw(4e-3), batch_size=32, steps=250
)
vgg_twice = healthy(
    "vgg-twice",
    0.8,
    0.1,
    network=Vgg,
    blur=True,
    act=F.gelu,
    dropout=0.3,
    loss=twice,
    optimizer=lion(1e-3, weight_decay=0.05),
    batch_size=32,
    steps=200,
)
vgg_cycle = healthy(
    "vgg-cycle",
    0.85,
    0.1,
    network=Vgg,
    dropout=0.2,
    loss=spoilt(cut_out),
    optimizer=one_cycle(sgd(0.01, momentum=0.9), 0.1, 150),
    steps=150,
)
crossed = healthy(
    "crossed-instance-norm",
    0.8,
    0.1,
    network=Crossed,
    loss=spoilt(in_noise),
    optimizer=norm_clipped(sgd(0.05, momentum=0.9, nesterov=True), 1.0),
    batch_size=16,
)

CONVS = ("convs*",)

PROGRAMS = (
    mobile,
    mobile.but("blocks-detached", kinds.DETACHED.at("stem", "norm", "blocks*"), cut=True),
    squeezed,
    squeezed.but("bytes", kinds.UNSCALED, task=data.image_bytes, norm=lambda width: nn.Identity()),
    grouped,
    branches,
    branches_elu,
    vgg,
    vgg.but("slipped", kinds.SHUFFLED_LABELS, task=lambda: tasks.off_by_one(data.images(), 0.6, 10), watched=200),
    vgg_twice,
    vgg_cycle,
    vgg_cycle.but("dead", kinds.DEAD_BY_BIAS.at("full*"), change=biased(-30.0, "full.1")),
    crossed,
    crossed.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.05, momentum=0.9, nesterov=True))),
)
