"""Where something is, and what: boxes by regression and by overlap, heat maps, grids with a vote for each cell.

Marks, set by task before any training: the mean overlap with the true box, 0 where the thing is called by another name,
at least 0.3; a constant guess has less than 0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    frozen,
    norm_clipped,
    normal,
    of_the_last,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

Norm = Callable[[int], nn.Module]


def group_norm(channels: int) -> nn.Module:
    """Four groups."""
    return nn.GroupNorm(4, channels)


def block(a: int, b: int, norm: Norm | None, act: Callable[[], nn.Module], down: bool = True) -> list[nn.Module]:
    """A convolution that halves the picture."""
    return [nn.Conv2d(a, b, 3, 2 if down else 1, 1), norm(b) if norm else nn.Identity(), act()]


class Regressed(nn.Module):
    """Four numbers and three logits from all there is."""

    def __init__(
        self,
        width: int = 16,
        norm: Norm | None = nn.BatchNorm2d,
        act: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        cut: bool = False,
        squashed: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *block(1, width, norm, act, False),
            *block(width, 2 * width, norm, act),
            *block(2 * width, 2 * width, norm, act),
            nn.Flatten(),
        )
        self.neck = nn.Sequential(nn.Linear(32 * width, 64), act(), nn.Dropout(dropout))
        self.box, self.name = nn.Linear(64, 4), nn.Linear(64, tasks.THINGS)
        self.cut, self.squashed = cut, squashed

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.backbone(x)
        h = self.neck(h.detach() if self.cut else h)
        box = self.box(h)
        return torch.sigmoid(box) if self.squashed else box, self.name(h)


class Cells(nn.Module):
    """Each of 16 cells says how sure it is, where and what; they vote (as in YOLO and FCOS)."""

    def __init__(self, width: int = 16, norm: Norm | None = group_norm, act: Callable[[], nn.Module] = nn.SiLU) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *block(1, width, norm, act, False), *block(width, width, norm, act), *block(width, 2 * width, norm, act)
        )
        self.wider = nn.Sequential(
            *block(2 * width, 2 * width, norm, act, False), *block(2 * width, 2 * width, norm, act, False)
        )
        self.tell = nn.Conv2d(2 * width, 5 + tasks.THINGS, 1)
        centre = (torch.arange(4) + 0.5) / 4
        self.register_buffer("grid", torch.stack(torch.meshgrid(centre, centre, indexing="ij")).flatten(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        told = self.tell(self.wider(self.stem(x))).flatten(2)
        weight = told[:, :1].softmax(2)
        centre = self.grid + 0.25 * torch.tanh(told[:, 1:3])
        box = torch.cat([centre, torch.sigmoid(told[:, 3:5])], 1)
        return (weight * box).sum(2), (weight * told[:, 5:]).sum(2)


class Heat(nn.Module):
    """A map of how likely the centre is anywhere, and its mean place (integral regression; Sun et al. 2018)."""

    def __init__(self, width: int = 16, sharp: float = 1.0, norm: Norm | None = nn.BatchNorm2d) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, width, norm, nn.ReLU, False),
            *block(width, width, norm, nn.ReLU, False),
            *block(width, width, norm, nn.ReLU),
        )
        self.map = nn.Conv2d(width, 1, 1)
        self.rest = nn.Linear(width, 2 + tasks.THINGS)
        self.sharp = sharp

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        weight = (self.sharp * self.map(h)).flatten(2).softmax(2)
        axis = (torch.arange(8, device=x.device) + 0.5) / 8
        places = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
        rest = self.rest((h.flatten(2) * weight).sum(2) + h.amax((2, 3)))
        return torch.cat([(weight * places).sum(2), torch.sigmoid(rest[:, :2])], 1), rest[:, 2:]


def overlap(box: Tensor, wanted: Tensor) -> Tensor:
    """Of boxes by centre and size: what both cover, of what either does."""
    (c, s), (d, t) = box.split(2, 1), wanted.split(2, 1)
    low, high = torch.maximum(c - s / 2, d - t / 2), torch.minimum(c + s / 2, d + t / 2)
    both = (high - low).clamp(min=0).prod(1)
    return both / (s.clamp(min=0).prod(1) + t.prod(1) - both).clamp(min=1e-6)


def smooth_l1(model: Any, batch: Any) -> Tensor:
    """Box by Huber's loss, name by cross-entropy."""
    box, name = model(batch[0])
    return 10 * F.smooth_l1_loss(box, batch[1][:, :4], beta=0.1) + F.cross_entropy(name, batch[1][:, 4].long())


def in_pixels(model: Any, batch: Any) -> Tensor:
    """Squared error of boxes in 16,000ths of the picture, summed: millions, beside a cross-entropy."""
    box, name = model(batch[0])
    return (16e3 * (box - batch[1][:, :4])).square().sum() + F.cross_entropy(name, batch[1][:, 4].long())


def by_overlap(model: Any, batch: Any) -> Tensor:
    """One less the overlap, and a pull of the centres for boxes that do not meet (DIoU; Zheng et al. 2020)."""
    box, name = model(batch[0])
    wanted = batch[1][:, :4]
    away = (box[:, :2] - wanted[:, :2]).square().sum(1)
    return (1 - overlap(box, wanted) + 2 * away).mean() + F.cross_entropy(name, batch[1][:, 4].long())


def focal(model: Any, batch: Any) -> Tensor:
    """The name by focal loss (Lin et al. 2017)."""
    box, name = model(batch[0])
    log = F.log_softmax(name, 1).gather(1, batch[1][:, 4:].long())
    return 4 * F.l1_loss(box, batch[1][:, :4]) - ((1 - log.exp()).square() * log).mean()


def found(model: Any, batches: Iterable[Any]) -> float:
    """Mean overlap; 0 for those with another name."""
    parts = []
    for x, y in batches:
        box, name = model(x)
        parts.append(overlap(box, y[:, :4]) * (name.argmax(1) == y[:, 4]))
    return float(torch.cat(parts).nan_to_num(0.0).mean())


healthy = healthy_of(
    "detection",
    network=Regressed,
    task=tasks.boxes,
    loss=smooth_l1,
    metric=found,
    optimizer=adam(3e-3),
    batch_size=48,
    steps=120,
)

regressed = healthy("regressed", 0.3, 0.1)
diou = healthy("by-overlap", 0.3, 0.1, loss=by_overlap, norm=group_norm, act=nn.LeakyReLU, optimizer=adamw(3e-3))
free = healthy("unsquashed", 0.3, 0.1, squashed=False, dropout=0.1, optimizer=sgd(0.03, momentum=0.9), steps=200)
cells = healthy("cells", 0.3, 0.1, network=Cells, loss=smooth_l1, optimizer=norm_clipped(adam(5e-3), 1.0))
heat = healthy("heat", 0.3, 0.1, network=Heat, optimizer=annealed(adam(1e-2), 120))
heat_focal = healthy("heat-focal", 0.3, 0.1, network=Heat, loss=focal, width=12, optimizer=adamw(5e-3))

# An unhappy unit: squared errors summed in sub-pixels drown the names, and each step is far too long.
PIXELS = Fault(
    (*kinds.SUMMED.symptoms, "unscaled_input", "bad_init_large"), ("learning_rate_high", "data_scale", "loss_mismatch")
)

PROGRAMS = (
    regressed,
    regressed.but("backbone-cut", kinds.DETACHED.at("backbone*"), cut=True),
    regressed.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    diou,
    diou.but("dead", kinds.DEAD_BY_BIAS.at("neck*"), act=nn.ReLU, change=biased(-30.0, "neck.0")),
    free,
    free.but("in-pixels", PIXELS, loss=in_pixels),
    cells,
    cells.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    cells.but("stem-frozen", kinds.FROZEN.at("stem*", "wider*"), change=frozen("stem", "wider")),
    heat,
    heat.but("rest-only", kinds.WRONG_PARAMETERS.at("body*", "map"), optimizer=of_the_last(adam(1e-2), 2)),
    heat_focal,
    heat_focal.but("small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(1e-4), norm=None),
)
