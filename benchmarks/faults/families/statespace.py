"""Rows read without attention's square: linear state spaces, gates that run side by side, linear attention, tags."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    lion,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    rmsprop,
    sgd,
    squared_error,
    token_accuracy,
    token_cross_entropy,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


def running(keep: Tensor, new: Tensor) -> Tensor:
    """h_t = keep_t · h_(t-1) + new_t, over (batch, places, width)."""
    h, states = torch.zeros_like(new[:, 0]), []
    for one, other in zip(keep.unbind(1), new.unbind(1), strict=True):
        h = one * h + other
        states.append(h)
    return torch.stack(states, 1)


class Diagonal(nn.Module):
    """Each number keeps its own share of itself, which does not change (S4D, LRU; Orvieto et al. 2023)."""

    def __init__(self, width: int, slow: float = 2.0) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.linspace(-1.0, slow, 2 * width))
        self.into, self.out, self.past = (
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
            nn.Parameter(torch.ones(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        keep = self.raw.sigmoid()
        new = (1 - keep.square()).sqrt() * self.into(x)
        return self.out(running(keep.expand_as(new), new)) + self.past * x


class Selective(nn.Module):
    """What is kept depends on what is seen (minGRU, Feng et al. 2024; Mamba, Gu and Dao 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.new, self.side, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        taken = self.gate(x).sigmoid()
        return self.out(running(1 - taken, taken * self.new(x)) * F.silu(self.side(x)))


class LinearAttention(nn.Module):
    """Keys and queries through elu + 1, sums that run along (Katharopoulos et al. 2020), and forget if asked to."""

    def __init__(self, width: int, forget: bool = False) -> None:
        super().__init__()
        self.all, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.forget = forget

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        q, k, v = self.all(x).chunk(3, 2)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        count = x.shape[1]
        far = torch.arange(count)[:, None] - torch.arange(count)
        weights = (q @ k.mT) * torch.where(far >= 0, 0.8 ** far.clamp(min=0) if self.forget else torch.ones(()), 0.0)
        return self.out(weights @ v / weights.sum(2, keepdim=True).clamp(min=1e-4))


class Shifted(nn.Module):
    """A mix along places by weights that are learnt as they stand, and a gate (gMLP; Liu et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.along = nn.Parameter(0.01 * torch.randn(tasks.LENGTH, tasks.LENGTH))
        self.bias = nn.Parameter(torch.ones(tasks.LENGTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        one, other = F.gelu(self.up(x)).chunk(2, 2)
        return self.out(one * (self.along @ other + self.bias))


class Both(nn.Module):
    """A recurrent network in both directions, as a layer."""

    def __init__(self, width: int, cell: str = "LSTM") -> None:
        super().__init__()
        self.body = getattr(nn, cell)(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        return self.body(x)[0]


class Causal(nn.Module):
    """A depthwise convolution over four places so far, gated (Gated ConvNet; Dauphin et al. 2017)."""

    def __init__(self, width: int, ahead: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, 4)
        self.ahead = ahead

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        sides = (2, 1) if self.ahead else (3, 0)
        return F.glu(self.conv(F.pad(x.mT, sides)), 1).mT


class Stack(nn.Module):
    """Symbols or numbers in, layers with ways round them, an answer at each place."""

    def __init__(
        self,
        mix: Callable[[int], nn.Module] = Diagonal,
        symbols: int = 20,
        outputs: int = tasks.TAGS,
        width: int = 32,
        layers: int = 2,
        norm: Callable[[int], nn.Module] | None = nn.LayerNorm,
        act: Callable[[Tensor], Tensor] = F.gelu,
        shortcut: bool = True,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, width) if symbols else nn.Linear(2, width)
        self.mixes = nn.ModuleList(mix(width) for _ in range(layers))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(layers))
        self.drop = nn.Dropout(dropout)
        self.tell = nn.Linear(width, outputs)
        self.act, self.shortcut, self.cut = act, shortcut, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places) or (batch, places, 2) to (batch, places, outputs)."""
        h = self.embed(x)
        for mix, norm in zip(self.mixes, self.norms, strict=True):
            new = self.drop(self.act(mix(norm(h))))
            h = h + new if self.shortcut else new
        return self.tell(h.detach() if self.cut else h)


class Chained(nn.Module):
    """A tagger whose tags follow each other more or less easily (CRF; Lafferty et al. 2001)."""

    def __init__(self, width: int = 32, cell: str = "GRU") -> None:
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.read = Both(width, cell)
        self.tell = nn.Linear(width, tasks.TAGS)
        self.follow = nn.Parameter(torch.zeros(tasks.TAGS, tasks.TAGS))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places) to (batch, places, tags)."""
        return self.tell(self.read(self.embed(x)))

    def best(self, x: Tensor) -> Tensor:
        """The likeliest tags all together (Viterbi)."""
        scores = self(x)
        total, back = scores[:, 0], []
        for one in scores.unbind(1)[1:]:
            total, came = (total[:, :, None] + self.follow).max(1)
            total = total + one
            back.append(came)
        tags = [total.argmax(1)]
        for came in reversed(back):
            tags.append(came.gather(1, tags[-1][:, None])[:, 0])
        return torch.stack(tags[::-1], 1)


def whole_rows(model: Any, batch: Any) -> Tensor:
    """How likely the row of tags is among all rows."""
    scores, tags = model(batch[0]), batch[1]
    right = scores.gather(2, tags[..., None]).sum((1, 2)) + model.follow[tags[:, :-1], tags[:, 1:]].sum(1)
    total = scores[:, 0]
    for one in scores.unbind(1)[1:]:
        total = (total[:, :, None] + model.follow).logsumexp(1) + one
    return (total.logsumexp(1) - right).mean() / tasks.LENGTH


def best_rows(model: Any, batches: Iterable[Any]) -> float:
    """Share of tags right in the likeliest rows."""
    return float(torch.cat([(model.best(x) == y).float() for x, y in batches]).mean())


def summed(model: nn.Module, batches: Iterable[Any]) -> float:
    """R², at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    share = float(1 - (model(x) - y).square().mean() / y.var())
    return max(share, -1.0) if math.isfinite(share) else -1.0


healthy = healthy_of(
    "statespace",
    network=Stack,
    task=tasks.tags,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=adam(5e-3),
    steps=150,
)
SUMS: dict[str, Any] = {
    "symbols": 0,
    "outputs": 1,
    "task": tasks.rows_summed,
    "loss": squared_error,
    "metric": summed,
    "steps": 200,
}

diagonal = healthy("diagonal", 0.72, 0.25)
diagonal_sums = healthy("diagonal-sums", 0.5, 0.0, act=F.silu, optimizer=annealed(adamw(1e-2), 200), **SUMS)
selective = healthy("selective", 0.73, 0.25, mix=Selective, act=nn.Identity(), optimizer=adamw(5e-3), batch_size=32)
selective_sums = healthy(
    "selective-sums", 0.67, 0.0, mix=Selective, act=nn.Identity(), optimizer=norm_clipped(lion(1e-3), 1.0), **SUMS
)
linear = healthy(
    "linear-attention", 0.63, 0.25, mix=lambda width: LinearAttention(width, True), optimizer=warmed(adam(5e-3), 20)
)
shifted = healthy("gated-along", 0.8, 0.25, mix=Shifted, optimizer=adamw(3e-3), layers=3)
both = healthy(
    "lstm-both",
    0.81,
    0.25,
    mix=Both,
    norm=None,
    layers=1,
    dropout=0.2,
    act=nn.Identity(),
    optimizer=norm_clipped(adam(1e-2), 1.0),
)
causal = healthy(
    "convolved",
    0.81,
    0.25,
    mix=lambda width: Causal(width, True),
    act=nn.Identity(),
    optimizer=sgd(0.3, momentum=0.9, nesterov=True),
    steps=250,
)
chained = healthy("chained", 0.81, 0.25, network=Chained, loss=whole_rows, metric=best_rows, optimizer=nadam(5e-3))
chained_rnn = healthy(
    "chained-rnn",
    0.81,
    0.25,
    network=Chained,
    cell="RNN",
    loss=whole_rows,
    metric=best_rows,
    optimizer=rmsprop(3e-3),
    batch_size=128,
)

PROGRAMS = (
    diagonal,
    diagonal.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    diagonal_sums,
    diagonal_sums.but("mixes-detached", kinds.DETACHED.at("embed", "mixes*"), cut=True),
    selective,
    selective_sums,
    selective_sums.but("weights-large", kinds.SATURATED.at("mixes*"), draw=normal(4.0), norm=None),
    linear,
    shifted,
    both,
    both.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98, shortcut=False),
    both.but(
        "tell-only",
        kinds.WRONG_PARAMETERS.at("embed", "mixes*"),
        optimizer=of_the_last(norm_clipped(adam(1e-2), 1.0), 2),
    ),
    causal,
    chained,
    chained_rnn,
)
