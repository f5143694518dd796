"""Training in fewer bits, and in more: float16 with and without a scaled loss, bfloat16, float64, mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Loss,
    Optimize,
    adam,
    adamw,
    biased,
    explained,
    frozen,
    normal,
    sgd,
    squared_error,
    trainable,
)
from benchmarks.faults.recipe import healthy_of
from headwater.demo import cross_entropy


class Bits(nn.Module):
    """A convolution or none, then linear layers; the logits leave in float32."""

    def __init__(
        self,
        inputs: int = 64,
        outputs: int = 10,
        width: int = 96,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        convolved: bool = False,
        norm: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1) if convolved else None
        sizes = [4 * inputs if convolved else inputs, *[width] * depth]
        self.body = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.head = nn.Linear(width, outputs)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs), or (batch, 1, 8, 8), to (batch, outputs)."""
        if self.conv is not None:
            x = self.act(self.conv(x)).flatten(1)
        for layer, norm in zip(self.body, self.norms, strict=True):
            x = self.act(norm(layer(x)))
        y = self.head(x.detach() if self.cut else x)
        return y.float() if y.dtype == torch.float16 else y


def halves(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A batch with inputs in float16."""
    return x.half(), y


def doubles(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A batch in float64."""
    return x.double(), y.double() if y.is_floating_point() else y


def brains(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A batch with inputs in bfloat16."""
    return x.bfloat16(), y


def halved(model: nn.Module) -> nn.Module:
    """The network in float16."""
    return model.half()


def doubled(model: nn.Module) -> nn.Module:
    """The network in float64."""
    return model.double()


def brained(model: nn.Module) -> nn.Module:
    """The network in bfloat16."""
    return model.bfloat16()


def mixed(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy with products in bfloat16 and weights in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        return cross_entropy(model, batch)


def scaled_loss(factor: float) -> Loss:
    """Cross-entropy times a factor that lifts small gradients into float16's range (Micikevicius et al. 2018)."""
    return lambda model, batch: factor * cross_entropy(model, batch)


def unscaled(make: Optimize, factor: float) -> Optimize:
    """Gradients divided by the loss's factor before the step."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known = trainable(parameters)
        optimizer = make(known)

        def divide(*_: Any) -> None:
            for parameter in known:
                if parameter.grad is not None:
                    parameter.grad.div_(factor)

        optimizer.register_step_pre_hook(divide)
        return optimizer

    return made


def by_hand(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy with exponentials of its own in float16, which ends at e^11."""
    logits = model(batch[0]).half()
    chances = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -chances.gather(1, batch[1][:, None]).log().float().mean()


def steadily(model: nn.Module, batch: Any) -> Tensor:
    """The same less the largest logit."""
    logits = model(batch[0])
    logits = (logits - logits.amax(1, keepdim=True).detach()).half()
    return -(logits.gather(1, batch[1][:, None])[:, 0].float() - logits.float().exp().sum(1).log()).mean()


healthy = healthy_of("precision", network=Bits, task=data.digits)
HALF: dict[str, Any] = {"pack": halves, "change": halved, "optimizer": sgd(0.1)}
LONG: dict[str, Any] = {"pack": doubles, "change": doubled}

half = healthy("half", 0.85, chance=0.1, **HALF)
half_adam = healthy(
    "half-adam-large-epsilon", 0.85, chance=0.1, act=F.gelu, **(HALF | {"optimizer": adam(2e-3, eps=1e-3)})
)
scaled = healthy(
    "half-scaled-loss",
    0.85,
    chance=0.1,
    loss=scaled_loss(128.0),
    depth=3,
    **(HALF | {"optimizer": unscaled(sgd(0.05, momentum=0.9), 128.0)}),
)
steady = healthy("half-by-hand", 0.8, chance=0.1, act=torch.tanh, loss=steadily, **HALF)
long = healthy(
    "double-friedman",
    0.6,
    chance=0.0,
    inputs=10,
    outputs=1,
    width=32,
    act=F.silu,
    task=data.friedman,
    loss=squared_error,
    metric=explained,
    optimizer=adam(5e-3),
    **LONG,
)
autocast = healthy(
    "mixed-convolved", 0.85, chance=0.1, convolved=True, task=data.images, loss=mixed, optimizer=adamw(2e-3), steps=100
)
brain = healthy("bfloat16-norm", 0.8, chance=0.1, norm=True, depth=3, pack=brains, change=brained, optimizer=adam(3e-3))


PROGRAMS = (
    half,
    half.but("loss-tiny", kinds.UNDERFLOW, loss=scaled_loss(2e-6), optimizer=sgd(5e4)),
    half.but("adam", kinds.ADAM_IN_HALF, optimizer=adam(2e-3)),
    half.but("body-detached", kinds.DETACHED.at("body*"), cut=True),
    half_adam,
    half_adam.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0, eps=1e-3)),
    half_adam.but("weights-large", kinds.LARGE_WEIGHTS.at("body*", "head"), change=halved, draw=normal(4.0), depth=4),
    scaled,
    scaled.but(
        "scale-too-large",
        kinds.OVERFLOW,
        loss=scaled_loss(2.0**20),
        optimizer=unscaled(sgd(0.05, momentum=0.9), 2.0**20),
    ),
    scaled.but("never-unscaled", kinds.RATE_HIGH, optimizer=sgd(0.05, momentum=0.9)),
    steady,
    steady.but("exponentials-bare", kinds.NAN, loss=by_hand, draw=normal(1.0)),
    long,
    long.but("sixty-points", kinds.OVERFITTING, task=lambda: data.friedman().first(60), watched=150),
    autocast,
    autocast.but("dead", kinds.DEAD_BY_BIAS.at("body*"), change=biased(-100.0, "body.0")),
    brain,
    brain.but(
        "body-frozen",
        kinds.FROZEN.at("body*"),
        change=lambda model: frozen("body")(model.bfloat16()) or model,
        width=12,
    ),
)
