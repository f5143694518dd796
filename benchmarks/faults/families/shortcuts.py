"""Networks with shortcuts: ResNet's two blocks, pre-activation, wide, dense, highway, one-dimensional.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them. Dropped, since they did no harm: batch normalisation
left in evaluation mode in a net with shortcuts, dropout of 0.99 and dead units in residual branches; and bytes into a
net without normalisation, which harmed one seed and not the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    constant,
    of_the_last,
    redrawn,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


def conv3x3(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """3×3 convolution with padding."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, norm=nn.BatchNorm2d, act=F.relu, skip=True):
        super().__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.act, self.skip = act, skip
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), norm(planes))

    def forward(self, x):
        out = self.act(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.skip:
            out = out + (x if self.downsample is None else self.downsample(x))
        return self.act(out)


class Bottleneck(nn.Module):
    expansion = 2

    def __init__(self, inplanes, planes, stride=1, norm=nn.BatchNorm2d, act=F.relu, skip=True):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = norm(planes)
        self.conv3 = nn.Conv2d(planes, 2 * planes, 1, bias=False)
        self.bn3 = norm(2 * planes)
        self.act, self.skip = act, skip
        self.downsample = nn.Sequential(nn.Conv2d(inplanes, 2 * planes, 1, stride, bias=False), norm(2 * planes))

    def forward(self, x):
        out = self.act(self.bn1(self.conv1(x)))
        out = self.act(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.skip:
            out = out + self.downsample(x)
        return self.act(out)


class ResNet(nn.Module):
    def __init__(
        self,
        block: Callable[..., nn.Module] = BasicBlock,
        layers=(1, 1, 1),
        width=8,
        channels=1,
        num_classes=10,
        zero_init_residual=False,
        stop=False,
        **kwargs,
    ):
        super().__init__()
        self.inplanes = width
        norm = kwargs.get("norm", nn.BatchNorm2d)
        self.conv1 = conv3x3(channels, width)
        self.bn1 = norm(width)
        self.layer1 = self._make_layer(block, width, layers[0], 1, kwargs)
        self.layer2 = self._make_layer(block, 2 * width, layers[1], 2, kwargs)
        self.layer3 = self._make_layer(block, 4 * width, layers[2], 2, kwargs)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.inplanes, num_classes)
        self.stop = stop
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(m, BasicBlock):
                nn.init.constant_(m.bn2.weight, 0)

    def _make_layer(self, block, planes, blocks, stride, kwargs):
        layers = []
        for i in range(blocks):
            layers.append(block(self.inplanes, planes, stride if i == 0 else 1, **kwargs))
            self.inplanes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = torch.flatten(self.avgpool(x), 1)
        if self.stop:
            x = x.detach()
        return self.fc(x)


class Highway(nn.Module):
    """Layers that carry or change (Srivastava et al. 2015)."""

    def __init__(self, inputs=64, width=50, depth=10, outputs=10, carry=-1.0, act=F.relu, gated=True):
        super().__init__()
        self.inp = nn.Linear(inputs, width)
        self.plain = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.gates = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        for gate in self.gates:
            nn.init.constant_(gate.bias, carry)
        self.out = nn.Linear(width, outputs)
        self.act, self.gated = act, gated

    def forward(self, x):
        x = self.act(self.inp(x))
        for plain, gate in zip(self.plain, self.gates, strict=True):
            h = self.act(plain(x))
            if self.gated:
                t = torch.sigmoid(gate(x))
                h = t * h + (1 - t) * x
            x = h
        return self.out(x)


class ResMLP(nn.Module):
    """Residual branches over vectors, normalised before or not at all."""

    def __init__(self, inputs=30, width=32, depth=6, outputs=1, norm=True, scale=1.0, p=0.0, act=nn.GELU):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width) if norm else nn.Identity(),
                nn.Linear(width, 2 * width),
                act(),
                nn.Dropout(p),
                nn.Linear(2 * width, width),
            )
            for _ in range(depth)
        )
        self.head = nn.Linear(width, outputs)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = x + self.scale * block(x)
        return self.head(x)


class DenseNet1d(nn.Module):
    """Each convolution sees all before it (Huang et al. 2017)."""

    def __init__(self, growth=8, depth=4, classes=5):
        super().__init__()
        self.first = nn.Conv1d(3, growth, 5, padding=2)
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(growth * (i + 1)), nn.ReLU(), nn.Conv1d(growth * (i + 1), growth, 3, padding=1)
            )
            for i in range(depth)
        )
        self.fc = nn.Linear(growth * (depth + 1), classes)

    def forward(self, x):
        x = self.first(x)
        for conv in self.convs:
            x = torch.cat([x, conv(x)], 1)
        return self.fc(x.mean(2))


def group_norm(planes: int) -> nn.Module:
    """In groups of four channels."""
    return nn.GroupNorm(planes // 4, planes)


def none(planes: int) -> nn.Module:
    """No normalisation."""
    return nn.Identity()


# Gates that are open from the start on: a deep stack without a shortcut, of weights as small as PyTorch draws them.
NEVER_CARRIED = Fault(
    ("vanishing", "rank_collapse", "underflow", "bad_init_small", "saturation"),
    ("depth_without_shortcut", "weights_too_small", "init_mismatch", "saturated_activation"),
)

healthy = healthy_of("shortcuts", network=ResNet, task=data.images, optimizer=adam(3e-3), steps=120, batch_size=64)
TUMOURS: dict[str, Any] = {
    "network": ResMLP,
    "task": data.cancer,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
    "batch_size": 50,
}

basic = healthy("digits-basic", 0.8, 0.1)
zero = healthy(
    "digits-basic-zero-init", 0.8, 0.1, zero_init_residual=True, optimizer=annealed(sgd(0.1, momentum=0.9), 120)
)
bottleneck = healthy(
    "badges-bottleneck",
    0.8,
    0.17,
    block=Bottleneck,
    channels=3,
    num_classes=6,
    task=tasks.badges,
    optimizer=adamw(5e-3, weight_decay=0.05),
)
grouped = healthy("digits-group-norm", 0.8, 0.1, norm=group_norm, layers=(2, 1, 1), optimizer=sgd(0.05, momentum=0.9))
highway = healthy("digits-highway", 0.8, 0.1, network=Highway, task=data.digits, steps=200)
deeper = healthy(
    "digits-highway-tanh-16",
    0.8,
    0.1,
    network=Highway,
    task=data.digits,
    depth=16,
    act=torch.tanh,
    optimizer=adam(2e-3),
    steps=250,
)
tumours = healthy("tumours-layer-norm", 0.88, 0.65, optimizer=adam(1e-3), **TUMOURS)
bare = healthy(
    "tumours-bare-branches",
    0.88,
    0.65,
    norm=False,
    scale=0.3,
    act=nn.ReLU,
    optimizer=sgd(0.02, momentum=0.9),
    **TUMOURS,
)
houses = healthy("sensors-dense", 0.8, 0.2, network=DenseNet1d, task=tasks.sensors, optimizer=adam(5e-3))

PROGRAMS = (
    basic,
    zero,
    zero.but("labels", kinds.SHUFFLED_LABELS, task=lambda: data.images().shuffled_targets(), watched=120),
    bottleneck,
    bottleneck.but(
        "head-only", kinds.WRONG_PARAMETERS.at("conv1", "layer*", "bn1"), optimizer=of_the_last(adamw(5e-3), 2)
    ),
    grouped,
    grouped.but(
        "sigmoid-no-skip",
        kinds.NO_SHORTCUT.at("conv1", "layer*"),
        skip=False,
        norm=none,
        act=torch.sigmoid,
        layers=(2, 2, 2),
    ),
    grouped.but(
        "constant",
        kinds.SYMMETRIC.at("*conv*", "*downsample.0"),
        change=redrawn(constant(0.05), "conv1", "layer1", "layer2", "layer3"),
    ),
    highway,
    highway.but("no-gates", kinds.SIGMOID_DEPTH.at("inp", "plain*"), gated=False, act=torch.sigmoid),
    highway.but("dead", kinds.DEAD_BY_BIAS.at("inp", "plain*"), change=biased(-60.0, "inp")),
    deeper,
    deeper.but("never-carried", NEVER_CARRIED.at("inp", "plain*", "gates*"), carry=10.0, act=F.relu),
    tumours,
    bare,
    bare.but("branches-large", kinds.LARGE_WEIGHTS.at("blocks*", "embed", "head"), scale=8.0),
    houses,
    houses.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adam(5e-3, weight_decay=3.0)),
)
