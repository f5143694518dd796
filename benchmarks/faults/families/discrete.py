"""Numbers with few values: weights of one or two bits, rounded activations, code books, samples from a softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    explained_input,
    frozen,
    nadam,
    norm_clipped,
    of_the_last,
    rmsprop,
    sgd,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


def straight(sharp: Tensor, soft: Tensor) -> Tensor:
    """The value of one and the gradient of the other (Bengio et al. 2013)."""
    return soft + (sharp - soft).detach()


def signs(weight: Tensor) -> Tensor:
    """One bit each, at the mean size of a row (XNOR-Net; Rastegari et al. 2016)."""
    size = weight.abs().mean(1, keepdim=True)
    return straight(torch.where(weight >= 0, size, -size), weight)


def thirds(weight: Tensor) -> Tensor:
    """-1, 0 or 1 times the mean size (BitNet b1.58; Ma et al. 2024)."""
    size = weight.abs().mean().clamp(min=1e-5)
    return straight((weight / size).round().clamp(-1, 1) * size, weight)


def eight_bits(weight: Tensor) -> Tensor:
    """256 steps up to the largest (Jacob et al. 2018)."""
    step = weight.detach().abs().max().clamp(min=1e-8) / 127
    return straight((weight / step).round() * step, weight)


def rounded_off(weight: Tensor) -> Tensor:
    """The same by somebody who forgot that rounding has no slope."""
    step = weight.detach().abs().max().clamp(min=1e-8) / 3
    return (weight / step).round() * step


class Few(nn.Module):
    """Linear layers whose weights are rounded when they are used, each behind a norm."""

    def __init__(
        self,
        width: int = 96,
        depth: int = 2,
        quantise: Callable[[Tensor], Tensor] = signs,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = nn.LayerNorm,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.head = nn.Linear(width, 10)
        self.quantise, self.act, self.cut = quantise, act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.act(norm(F.linear(x, self.quantise(layer.weight), layer.bias)))
        return self.head(x.detach() if self.cut else x)


class HardSign(torch.autograd.Function):
    """The sign, whose slope is taken for 1 between -1 and 1 (Courbariaux et al. 2016)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Of any shape."""
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """The same shape."""
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class Codes(nn.Module):
    """An autoencoder through the nearest of some learnt vectors, group by group (van den Oord et al. 2017)."""

    def __init__(
        self,
        groups: int = 8,
        codes: int = 16,
        size: int = 4,
        width: int = 64,
        act: Callable[[Tensor], Tensor] = F.relu,
        spread: float = 0.5,
    ) -> None:
        super().__init__()
        self.into = nn.ModuleList([nn.Linear(64, width), nn.Linear(width, groups * size)])
        self.book = nn.Parameter(spread * torch.randn(groups, codes, size))
        self.back = nn.ModuleList([nn.Linear(groups * size, width), nn.Linear(width, 64)])
        self.groups, self.act = groups, act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to the same."""
        return self.coded(x)[0]

    def coded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What comes back, what went in between, and the codes nearest to it."""
        h = self.into[1](self.act(self.into[0](x))).unflatten(1, (self.groups, -1))
        far = (h[:, :, None] - self.book).square().sum(3)
        nearest = self.book[torch.arange(self.groups), far.argmin(2)]
        back = self.back[1](self.act(self.back[0](straight(nearest, h).flatten(1))))
        return back, h, nearest


class Choices(nn.Module):
    """An autoencoder through categories, drawn softly (Jang et al. 2017; Maddison et al. 2017)."""

    def __init__(
        self,
        groups: int = 12,
        kinds: int = 8,
        width: int = 64,
        heat: float = 1.0,
        hard: bool = False,
        cut: bool = False,
        act: Callable[[Tensor], Tensor] = torch.tanh,
    ) -> None:
        super().__init__()
        self.into = nn.ModuleList([nn.Linear(64, width), nn.Linear(width, groups * kinds)])
        self.back = nn.ModuleList([nn.Linear(groups * kinds, width), nn.Linear(width, 64)])
        self.groups, self.heat, self.hard, self.cut, self.act = groups, heat, hard, cut, act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to the same."""
        logits = self.into[1](self.act(self.into[0](x))).unflatten(1, (self.groups, -1))
        soft = (logits / self.heat).softmax(2)
        drawn = F.gumbel_softmax(logits, self.heat, self.hard) if self.training else soft
        drawn = drawn.detach() if self.cut else drawn
        return self.back[1](self.act(self.back[0](drawn.flatten(1))))


def reconstructed(model: nn.Module, batch: Any) -> Tensor:
    """Squared error of what comes back."""
    return F.mse_loss(model(batch[0]), batch[0])


def committed(model: Any, batch: Any) -> Tensor:
    """With what draws codes and encoder together."""
    back, h, nearest = model.coded(batch[0])
    return F.mse_loss(back, batch[0]) + F.mse_loss(nearest, h.detach()) + 0.25 * F.mse_loss(h, nearest.detach())


def shared_out(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of what comes back."""
    return explained_input(model, batches)


healthy = healthy_of("discrete", network=Few, task=data.digits, optimizer=adam(3e-3), steps=150)
BOOK: dict[str, Any] = {"network": Codes, "loss": committed, "metric": shared_out, "steps": 250}
DRAWN: dict[str, Any] = {"network": Choices, "loss": reconstructed, "metric": shared_out, "steps": 250}

binary = healthy("signs", 0.85, 0.1)
ternary = healthy(
    "thirds-gelu", 0.85, 0.1, quantise=thirds, act=F.gelu, depth=3, optimizer=warmed(adamw(5e-3, weight_decay=0.05), 20)
)
bytes_ = healthy(
    "eight-bits-sgd", 0.88, 0.1, quantise=eight_bits, norm=None, width=64, optimizer=sgd(0.1, momentum=0.9)
)
spiking = healthy(
    "sign-activations", 0.8, 0.1, quantise=eight_bits, act=HardSign.apply, norm=nn.BatchNorm1d, optimizer=adam(5e-3)
)
both = healthy(
    "signs-of-signs", 0.75, 0.1, act=HardSign.apply, norm=nn.BatchNorm1d, width=192, optimizer=nadam(5e-3), steps=200
)
book = healthy("code-book", 0.41, 0.0, optimizer=adam(3e-3), **BOOK)
book_small = healthy(
    "code-book-silu",
    0.48,
    0.0,
    groups=16,
    codes=8,
    size=2,
    act=F.silu,
    batch_size=128,
    optimizer=norm_clipped(adamw(5e-3), 1.0),
    **BOOK,
)
choices = healthy("soft-choices", 0.45, 0.0, optimizer=adam(5e-3), **DRAWN)
choices_hard = healthy(
    "hard-choices-relu", 0.39, 0.0, hard=True, act=F.relu, heat=0.7, optimizer=rmsprop(2e-3), **DRAWN
)

PROGRAMS = (
    binary,
    binary.but("sigmoid-12", kinds.SIGMOID_DEPTH.at("layers*"), act=torch.sigmoid, depth=12, norm=None),
    ternary,
    ternary.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(3.0)),
    bytes_,
    bytes_.but("no-slope", kinds.DETACHED.at("layers*"), quantise=rounded_off, depth=6),
    bytes_.but("dead", kinds.DEAD_BY_BIAS.at("layers*"), change=biased(-30.0, "layers.1")),
    spiking,
    spiking.but("batch-of-two", kinds.NORMALIZATION.at("norms*"), batch_size=2),
    both,
    book,
    book.but("encoder-frozen", kinds.FROZEN.at("into*"), change=frozen("into")),
    book_small,
    choices,
    choices.but("code-detached", kinds.DETACHED.at("into*"), cut=True),
    choices_hard,
    choices_hard.but("back-only", kinds.WRONG_PARAMETERS.at("into*"), optimizer=of_the_last(rmsprop(2e-3), 4)),
)
