"""Convolutional networks for telephones: depthwise convolutions, inverted residuals, shuffles, ghosts, hard swishes.

Marks, set by task before any training: digits 0.8.
"""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    he,
    nadam,
    normal,
    of_a_copy,
    sgd,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


def conv_bn(inp, oup, kernel, groups=1, act=nn.ReLU6, bn=True, stride=1):
    """Convolution, batch normalisation and an activation, as everybody writes it."""
    layers = [("conv", nn.Conv2d(inp, oup, kernel, stride, kernel // 2, groups=groups, bias=not bn))]
    if bn:
        layers.append(("bn", nn.BatchNorm2d(oup)))
    if act is not None:
        layers.append(("act", act()))
    return nn.Sequential(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """Wide, depthwise, narrow again without an activation (Sandler et al. 2018)."""

    def __init__(self, inp, oup, expand=3, act=nn.ReLU6, bn=True, zero_last=False):
        super().__init__()
        mid = inp * expand
        self.block = nn.Sequential(
            conv_bn(inp, mid, 1, act=act, bn=bn),
            conv_bn(mid, mid, 3, groups=mid, act=act, bn=bn),
            conv_bn(mid, oup, 1, act=None, bn=bn),
        )
        self.use_res = inp == oup
        if zero_last and bn:  # each block begins as nothing (Goyal et al. 2017)
            nn.init.zeros_(self.block[2].bn.weight)

    def forward(self, x):
        return x + self.block(x) if self.use_res else self.block(x)


class MobileNet(nn.Module):
    def __init__(
        self,
        width=12,
        blocks=2,
        act=nn.ReLU6,
        bn=True,
        zero_last=False,
        dropout=0.0,
        expand=3,
        no_grad=False,
    ):
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(1, width, 3, act=act, bn=bn),
            *[InvertedResidual(width, width, expand, act, bn, zero_last) for _ in range(blocks)],
            InvertedResidual(width, 2 * width, expand, act, bn),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, 10))
        self.no_grad = no_grad

    def forward(self, x):
        if self.no_grad:
            with torch.no_grad():
                x = self.features(x)
        else:
            x = self.features(x)
        return self.classifier(torch.flatten(x, 1))


def channel_shuffle(x, groups):
    b, c, h, w = x.shape
    return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class ShuffleUnit(nn.Module):
    """Half of the channels go through, half go round; then they are shuffled (Ma et al. 2018)."""

    def __init__(self, c):
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn(c // 2, c // 2, 1, act=nn.ReLU),
            conv_bn(c // 2, c // 2, 3, groups=c // 2, act=None),
            conv_bn(c // 2, c // 2, 1, act=nn.ReLU),
        )

    def forward(self, x):
        x1, x2 = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([x1, self.branch(x2)], 1), 2)


class Ghost(nn.Module):
    """Half of the channels are cheap copies of the others (Han et al. 2020)."""

    def __init__(self, inp, oup):
        super().__init__()
        self.primary = conv_bn(inp, oup // 2, 1, act=nn.ReLU)
        self.cheap = conv_bn(oup // 2, oup // 2, 3, groups=oup // 2, act=nn.ReLU)

    def forward(self, x):
        y = self.primary(x)
        return torch.cat([y, self.cheap(y)], 1)


def shuffle_net(width=24, dropout=0.0):
    return nn.Sequential(
        OrderedDict(
            stem=conv_bn(1, width, 3, act=nn.ReLU),
            stage1=nn.Sequential(ShuffleUnit(width), ShuffleUnit(width)),
            down=conv_bn(width, width, 3, act=nn.ReLU, stride=2),
            stage2=ShuffleUnit(width),
            pool=nn.AdaptiveAvgPool2d(2),
            flat=nn.Flatten(),
            drop=nn.Dropout(dropout),
            fc=nn.Linear(4 * width, 10),
        )
    )


def ghost_net(width=16):
    return nn.Sequential(
        OrderedDict(
            stem=conv_bn(1, width, 3, act=nn.Hardswish),
            ghost1=Ghost(width, 2 * width),
            down=nn.MaxPool2d(2),
            ghost2=Ghost(2 * width, 4 * width),
            pool=nn.AdaptiveMaxPool2d(2),
            flat=nn.Flatten(),
            fc=nn.Linear(16 * width, 10),
        )
    )


class Separable(nn.Module):
    """Depthwise and pointwise convolutions in a row, no normalisation, no way round (Howard et al. 2017)."""

    def __init__(self, depth=3, width=24, act="relu"):
        super().__init__()
        act = {"relu": nn.ReLU, "leaky": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "none": nn.Identity}[act]
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.dw = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(depth)])
        self.pw = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(depth)])
        self.act = act()
        self.fc = nn.Linear(16 * width, 10)

    def forward(self, x):
        x = self.act(self.conv1(x))
        for dw, pw in zip(self.dw, self.pw, strict=True):
            x = self.act(pw(self.act(dw(x))))
        return self.fc(F.avg_pool2d(x, 2).flatten(1))


healthy = healthy_of("mobile", network=MobileNet, task=data.images, optimizer=adam(3e-3), steps=60, batch_size=64)

v2 = healthy("v2", 0.8, 0.1)
v3 = healthy("v3", 0.8, 0.1, act=nn.Hardswish, dropout=0.2, optimizer=adamw(5e-3, weight_decay=0.05))
as_nothing = healthy("v2-blocks-as-nothing", 0.8, 0.1, zero_last=True, optimizer=annealed(sgd(0.1, momentum=0.9), 60))
shuffled = healthy("shuffle", 0.8, 0.1, network=shuffle_net, optimizer=adam(5e-3))
ghost = healthy("ghost", 0.8, 0.1, network=ghost_net, optimizer=nadam(3e-3))
separable = healthy("separable", 0.8, 0.1, network=Separable, draw=he, optimizer=adam(3e-3), steps=100)
leaky = healthy(
    "separable-leaky",
    0.8,
    0.1,
    network=Separable,
    act="leaky",
    depth=2,
    optimizer=warmed(sgd(0.1, momentum=0.9), 20),
    draw=he,
)

PROGRAMS = (
    v2,
    v2.but("no-grad", kinds.DETACHED.at("features*"), no_grad=True),
    v3,
    v3.but("dropout", kinds.DROPOUT.at("classifier.0"), dropout=0.99),
    as_nothing,
    as_nothing.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6, momentum=0.9)),
    shuffled,
    shuffled.but("of-a-copy", kinds.WRONG_PARAMETERS.at("*"), optimizer=of_a_copy(adam(5e-3))),
    ghost,
    separable,
    separable.but("weights-small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(0.005)),
    separable.but("sigmoids", kinds.SIGMOID_DEPTH.at("*"), act="sigmoid", depth=8),
    leaky,
    separable.but("dead", kinds.DEAD_BY_BIAS.at("pw*", "dw*", "act*"), change=biased(-8.0, "pw.1", "pw.2")),
)
