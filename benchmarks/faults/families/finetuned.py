"""Small networks that learnt the lower digits, tuned for the higher ones by a few of their weights.

Marks, set by task before any training: the five higher digits 0.8 (chance 0.2), as with any training on digits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import adam, adamw, annealed, biased, norm_clipped, of_a_copy, sgd, warmed
from benchmarks.faults.recipe import healthy_of


class Trunk(nn.Module):
    """Rows of pixels as tokens, two layers of a transformer."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.lift = nn.Linear(8, width)
        self.place = nn.Parameter(0.1 * torch.randn(8, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, prompt: Tensor | None = None) -> Tensor:
        h = self.lift(x.view(-1, 8, 8)) + self.place
        if prompt is not None:
            h = torch.cat([prompt.expand(len(h), -1, -1), h], 1)
        for layer in self.layers:
            h = layer(h)
        return self.norm(h).mean(1)


class Convolved(nn.Module):
    """Two normed convolutions."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.bn1(self.conv1(x.view(-1, 1, 8, 8)))), 2)
        return F.adaptive_avg_pool2d(F.relu(self.bn2(self.conv2(h))), 2).flatten(1)


TRUNKS: dict[str, tuple[Callable[[], nn.Module], int]] = {"rows": (Trunk, 32), "convolved": (Convolved, 128)}


@cache
def learnt(kind: str) -> nn.Module:
    """The trunk after some steps on the digits 0 to 4, always the same."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        make, width = TRUNKS[kind]
        trunk, head = make(), nn.Linear(width, 5)
        step = torch.optim.Adam([*trunk.parameters(), *head.parameters()], 3e-3)
        x, y = data.low_digits().train
        for _ in range(120):
            rows = torch.randint(len(x), (64,))
            step.zero_grad()
            F.cross_entropy(head(trunk(x[rows])), y[rows]).backward()
            step.step()
    return trunk


class Tuned(nn.Module):
    """What was learnt, a way to change it, and a new head."""

    def __init__(
        self,
        kind: str = "rows",
        tune: str = "all",
        prompt: int = 0,
        side: int = 0,
        deep_head: bool = False,
        dropout: float = 0.0,
        cut: bool = False,
        still: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(learnt(kind))
        width = TRUNKS[kind][1]
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            *([nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 5)] if deep_head else [nn.Linear(width, 5)]),
        )
        self.prompt = nn.Parameter(0.1 * torch.randn(1, prompt, width)) if prompt else None
        self.side = nn.Sequential(nn.Linear(64, side), nn.GELU(), nn.Linear(side, width)) if side else None
        if self.side is not None:  # adds nothing at first (Zhang et al. 2020, side tuning)
            nn.init.zeros_(self.side[2].weight)
            nn.init.zeros_(self.side[2].bias)
        self.cut, self.still = cut, still
        for name, parameter in self.trunk.named_parameters():
            parameter.requires_grad_(TUNES[tune](name))

    def train(self, mode: bool = True) -> Tuned:
        """The trunk's statistics stay as they are, if so wanted."""
        super().train(mode)
        if self.still:
            self.trunk.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        h = self.trunk(x, self.prompt) if self.prompt is not None else self.trunk(x)
        if self.side is not None:
            h = h + self.side(x)
        return self.head(h.detach() if self.cut else h)


TUNES: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "nothing": lambda name: False,
    "biases": lambda name: name.endswith("bias"),  # BitFit (Ben Zaken et al. 2022)
    "norms": lambda name: "norm" in name or "bn" in name,
    "last": lambda name: "layers.1" in name or "2." in name or name.startswith("norm"),
}


def by_depth(make: Callable[..., torch.optim.Optimizer], lr: float, decay: float = 0.5, **options: Any) -> Any:
    """The further from the answer, the smaller the rate (Howard and Ruder 2018)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known = [parameter for parameter in parameters if parameter.requires_grad]
        parts = [known[start : start + 4] for start in range(0, len(known), 4)]
        rates = [lr * decay ** (len(parts) - 1 - index) for index in range(len(parts))]
        return make([{"params": part, "lr": rate} for part, rate in zip(parts, rates, strict=True)], lr=lr, **options)

    return made


healthy = healthy_of("finetuned", network=Tuned, task=data.high_digits, optimizer=adam(3e-3), steps=100, batch_size=48)

whole = healthy("whole", 0.8, 0.2, optimizer=warmed(adamw(2e-3), 20))
depths = healthy("rates-by-depth", 0.8, 0.2, kind="convolved", optimizer=by_depth(torch.optim.SGD, 0.1, momentum=0.9))
biases = healthy("biases", 0.8, 0.2, tune="biases", optimizer=adam(1e-2), steps=180)
norms = healthy("norms", 0.8, 0.2, kind="convolved", tune="norms", deep_head=True, optimizer=adam(1e-2))
last = healthy("last-layer", 0.8, 0.2, tune="last", optimizer=annealed(adamw(5e-3), 100))
prompted = healthy("prompted", 0.8, 0.2, tune="nothing", prompt=8, deep_head=True, optimizer=adam(1e-2), steps=150)
side = healthy("side", 0.8, 0.2, tune="nothing", side=32, optimizer=norm_clipped(adam(5e-3), 1.0))
probe = healthy("probe", 0.8, 0.2, kind="convolved", tune="nothing", still=True, optimizer=sgd(0.3, momentum=0.9))

PROGRAMS = (
    whole,
    whole.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(0.3)),
    whole.but("nothing-asks", kinds.FROZEN.at("trunk*"), tune="nothing"),
    depths,
    depths.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6)),
    biases,
    biases.but("of-a-copy", kinds.WRONG_PARAMETERS.at("*"), optimizer=of_a_copy(adam(1e-2))),
    norms,
    norms.but("dead-head", kinds.DEAD_BY_BIAS.at("head.1", "head.2"), change=biased(-30.0, "head.1")),
    last,
    last.but("dropout", kinds.DROPOUT.at("head.0"), dropout=0.98),
    prompted,
    side,
    side.but("cut", kinds.DETACHED.at("side*"), cut=True),
    probe,
)
