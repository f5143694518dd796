"""Raw sound, heard by filters that are learnt, by fixed ones, by strided convolutions, by recurrence, by conformers.

Marks, set by task before any training: chirps 0.75 (chance 0.22).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    between,
    biased,
    he,
    norm_clipped,
    of_the_first,
    rmsprop,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Sinc(nn.Module):
    """Band-pass filters of which only the edges are learnt (Ravanelli and Bengio 2018)."""

    def __init__(self, filters: int = 16, taps: int = 31) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.linspace(0.02, 0.2, filters))
        self.width = nn.Parameter(torch.full((filters,), 0.04))
        self.register_buffer("time", torch.arange(taps) - taps // 2 + 1e-4)
        self.register_buffer("window", torch.hamming_window(taps, periodic=False))

    def forward(self, x: Tensor) -> Tensor:
        low = self.low.abs()[:, None]
        high = low + self.width.abs()[:, None]
        angle = 2 * math.pi * self.time
        kernel = (torch.sin(high * angle) - torch.sin(low * angle)) / (math.pi * self.time) * self.window
        return F.conv1d(x, 4 * kernel[:, None], stride=4, padding=15)


class Spectrum(nn.Module):
    """Logarithms of a short-time spectrum; nothing in it is learnt."""

    def __init__(self, size: int = 32, hop: int = 16, floor: float = 1e-3) -> None:
        super().__init__()
        self.size, self.hop, self.floor = size, hop, floor
        self.register_buffer("window", torch.hann_window(size))

    def forward(self, x: Tensor) -> Tensor:
        power = torch.stft(x[:, 0], self.size, self.hop, window=self.window, return_complex=True).abs().square()
        return (power + self.floor).log() / 2


def strided(
    width: int = 16, act: type[nn.Module] = nn.ReLU, norm: bool = True, depth: int = 3, dropout: float = 0.0
) -> nn.Sequential:
    """Convolutions that go down in steps of four and two (M5; Dai et al. 2017)."""
    layers: list[nn.Module] = []
    before, step = 1, 4
    for _ in range(depth):
        layers += [nn.Conv1d(before, width, 9, step, 4), nn.BatchNorm1d(width) if norm else nn.Identity(), act()]
        before, step = width, 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * width, 5))


def sinc_net(filters: int = 16, act: type[nn.Module] = nn.LeakyReLU) -> nn.Sequential:
    """Learnt band-passes, then two convolutions."""
    return nn.Sequential(
        Sinc(filters),
        nn.BatchNorm1d(filters),
        act(),
        nn.Conv1d(filters, 24, 5, 2, 2),
        nn.BatchNorm1d(24),
        act(),
        nn.Conv1d(24, 24, 5, 2, 2),
        act(),
        nn.AdaptiveMaxPool1d(4),
        nn.Flatten(),
        nn.Linear(96, 5),
    )


class Heard(nn.Module):
    """A spectrum, normed by what is usual, and something that reads it in order."""

    def __init__(self, kind: str = "GRU", width: int = 32, cut: bool = False) -> None:
        super().__init__()
        self.spectrum = Spectrum()
        self.norm = nn.BatchNorm1d(17)
        self.read = getattr(nn, kind)(17, width, batch_first=True)
        self.tell = nn.Linear(width, 5)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        h = self.read(self.norm(self.spectrum(x)).mT)[0].mean(1)
        return self.tell(h.detach() if self.cut else h)


class Conformer(nn.Module):
    """Half a feed-forward, attention, a convolution, half a feed-forward (Gulati et al. 2020)."""

    def __init__(self, width: int = 24, layers: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.spectrum, self.norm = Spectrum(), nn.BatchNorm1d(17)
        self.lift = nn.Linear(17, width)
        self.first, self.last = (
            nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
                for _ in range(layers)
            )
            for _ in range(2)
        )
        self.attend = nn.ModuleList(nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(layers))
        self.before = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.convolve = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, 2 * width, 1),
                nn.GLU(1),
                nn.Conv1d(width, width, 5, padding=2, groups=width),
                nn.BatchNorm1d(width),
                nn.SiLU(),
                nn.Conv1d(width, width, 1),
            )
            for _ in range(layers)
        )
        self.drop = nn.Dropout(dropout)
        self.tell = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(self.norm(self.spectrum(x)).mT)
        for first, before, attend, convolve, last in zip(
            self.first, self.before, self.attend, self.convolve, self.last, strict=True
        ):
            x = x + 0.5 * self.drop(first(x))
            y = before(x)
            x = x + self.drop(attend(y, y, y, need_weights=False)[0])
            x = x + self.drop(convolve(x.mT).mT)
            x = x + 0.5 * self.drop(last(x))
        return self.tell(x.mean(1))


healthy = healthy_of("sounds", network=strided, task=tasks.chirps, optimizer=adam(5e-3), steps=80, batch_size=48)

plain = healthy("strided", 0.75, 0.22)
unnormed = healthy("strided-he", 0.75, 0.22, norm=False, draw=he, act=nn.SiLU, optimizer=norm_clipped(adam(5e-3), 1.0))
sinc = healthy("band-passes", 0.75, 0.22, network=sinc_net, optimizer=adamw(5e-3))
read = healthy("spectrum-read", 0.75, 0.22, network=Heard, optimizer=adam(1e-2))
read_lstm = healthy("spectrum-lstm", 0.75, 0.22, network=Heard, kind="LSTM", optimizer=rmsprop(5e-3))
conformer = healthy("conformer", 0.75, 0.22, network=Conformer, optimizer=annealed(warmed(adamw(5e-3), 20), 80))

PROGRAMS = (
    plain,
    plain.but("int16", kinds.UNSCALED, task=lambda: tasks.as_int16(tasks.chirps()), norm=False),
    plain.but(
        "first-layer-only", kinds.WRONG_PARAMETERS.at("3", "4", "6", "7", "12"), optimizer=of_the_first(adam(5e-3), 4)
    ),
    unnormed,
    unnormed.but("dead", kinds.DEAD_BY_BIAS.at(*between(0, 9)), act=nn.ReLU, change=biased(-15.0, "0", "3", "6")),
    sinc,
    sinc.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(2.0)),
    read,
    read.but("reader-cut", kinds.DETACHED.at("norm", "read"), cut=True),
    read_lstm,
    read_lstm.but("rate-low", kinds.RATE_LOW, optimizer=rmsprop(1e-7)),
    conformer,
    conformer.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.97),
)
