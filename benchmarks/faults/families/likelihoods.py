"""Targets with a distribution of their own: times cut off, skewed sizes, two answers at once, doubt in weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    constant,
    explained,
    forgetful,
    frozen,
    nadam,
    norm_clipped,
    rmsprop,
    sgd,
)
from benchmarks.faults.recipe import healthy_of


class Told(nn.Module):
    """Hidden layers and as many numbers as the distribution has."""

    def __init__(
        self,
        inputs: int = 6,
        outputs: int = 1,
        width: int = 48,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: bool = False,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.drop = nn.Dropout(dropout)
        self.tell = nn.Linear(width, outputs)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.drop(self.act(norm(layer(x))))
        return self.tell(x.detach() if self.cut else x)


class Doubtful(nn.Module):
    """A layer whose weights are drawn anew each time, around means that are learnt (Blundell et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, spread: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.log_spread = nn.Parameter(torch.full((outputs, inputs), math.log(spread)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs), by the local reparametrisation (Kingma et al. 2015)."""
        y = F.linear(x, self.mean, self.bias)
        if not self.training:
            return y
        variance = F.linear(x.square(), (2 * self.log_spread).exp())
        return y + (variance + 1e-8).sqrt() * torch.randn_like(y)

    def apart(self) -> Tensor:
        """Divergence from a unit Gaussian, in nats."""
        return (0.5 * ((2 * self.log_spread).exp() + self.mean.square() - 1) - self.log_spread).sum()


class Bayes(nn.Module):
    """Two such layers with an activation between."""

    def __init__(
        self, inputs: int = 10, width: int = 32, act: Callable[[Tensor], Tensor] = torch.tanh, spread: float = 0.02
    ) -> None:
        super().__init__()
        self.first, self.second = Doubtful(inputs, width, spread), Doubtful(width, 1, spread)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        return self.second(self.act(self.first(x)))


def bound(model: Any, batch: Any) -> Tensor:
    """Squared error under noise of 0.4, and the divergence of all weights per sample."""
    error = (model(batch[0]) - batch[1]).square().mean() / (2 * 0.4**2)
    return error + (model.first.apart() + model.second.apart()) / 960


def cox(model: nn.Module, batch: Any) -> Tensor:
    """Who left first, among those still there (Cox 1972)."""
    time, seen = batch[1].unbind(1)
    order = time.argsort(descending=True)
    risk = model(batch[0])[order, 0]
    return -((risk - risk.logcumsumexp(0)) * seen[order]).sum() / seen.sum().clamp(min=1)


def weibull(model: nn.Module, batch: Any) -> Tensor:
    """Times with a scale and a shape that are both told."""
    time, seen = batch[1].unbind(1)
    log_scale, raw = model(batch[0]).unbind(1)
    shape = F.softplus(raw + 0.5) + 0.05
    z = (time.clamp(min=1e-3).log() - log_scale).clamp(-8, 8)
    return -(seen * (shape.log() + shape * z) - (shape * z).clamp(max=8).exp()).mean()


EDGES = torch.tensor([0.2, 0.5, 1.0, 2.0, 4.0])


def hazards(model: nn.Module, batch: Any) -> Tensor:
    """Whether one leaves in each of six spans, of those that one was there in (Gensheimer and Narasimhan 2019)."""
    time, seen = batch[1].unbind(1)
    span = torch.bucketize(time, EDGES)[:, None]
    place = torch.arange(len(EDGES) + 1)
    there = (place < span).float() + ((place == span) & (seen[:, None] > 0)).float()
    loss = F.binary_cross_entropy_with_logits(
        model(batch[0]), ((place == span) & (seen[:, None] > 0)).float(), reduction="none"
    )
    return (loss * there).sum(1).mean()


def concordance(told: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Iterable[Any]], float]:
    """Share of pairs, of which it is known, that are told in the right order; one half by chance (Harrell 1982)."""

    def concordant(model: nn.Module, batches: Iterable[Any]) -> float:
        x, y = (torch.cat(part) for part in zip(*batches, strict=True))
        time, seen = y.unbind(1)
        risk = told(model(x))
        if not bool(risk.isfinite().all()):
            return 0.5
        known = (time[:, None] < time) & (seen[:, None] > 0)
        right = (risk[:, None] > risk).float() + 0.5 * (risk[:, None] == risk).float()
        return float(right[known].mean())

    return concordant


def gamma(model: nn.Module, batch: Any) -> Tensor:
    """Half the deviance of a Gamma distribution with the logarithm of its mean told."""
    log = model(batch[0])
    return (batch[1] * (-log).exp() + log).mean()


def tweedie(model: nn.Module, batch: Any) -> Tensor:
    """Between Poisson and Gamma, at a power of 1.5 (Jørgensen 1987)."""
    log = model(batch[0])
    return (batch[1] * (-0.5 * log).exp() * 2 + (0.5 * log).exp() * 2).mean()


def log_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the Gamma deviance of the mean that is explained; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))

    def deviance(log: Tensor) -> Tensor:
        return (y * (-log).exp() - 1 - (y.log() - log)).mean()

    share = float(1 - deviance(model(x)) / deviance(y.mean().log().expand_as(y)))
    return max(share, -1.0) if math.isfinite(share) else -1.0


def mixture(kinds_: int = 3) -> Callable[[nn.Module, Any], Tensor]:
    """Negative log-likelihood of a mixture of Gaussians (Bishop 1994)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        share, mean, log_spread = model(batch[0]).split(kinds_, 1)
        log_spread = log_spread.clamp(-5, 5)
        each = -0.5 * ((batch[1] - mean) / log_spread.exp()).square() - log_spread - 0.919
        return -(share.log_softmax(1) + each).logsumexp(1).mean()

    return loss


def likelier(model: nn.Module, batches: Iterable[Any]) -> float:
    """How much likelier targets are than by one Gaussian, in nats; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    gain = float(y.std().log() + 0.5 + 0.919 - mixture()(model, (x, y)))
    return max(gain, -1.0) if math.isfinite(gain) else -1.0


def student(model: nn.Module, batch: Any) -> Tensor:
    """Student's t with three degrees of freedom, for targets with outliers."""
    z = model(batch[0]) - batch[1]
    return 2 * torch.log1p(z.square() / 0.75).mean()


def finite(model: nn.Module, batches: Iterable[Any]) -> float:
    """R², -1 if it is not finite."""
    share = explained(model, batches)
    return share if math.isfinite(share) else -1.0


healthy = healthy_of("likelihoods", network=Told, optimizer=adam(3e-3), steps=150)
STAYS: dict[str, Any] = {"task": tasks.stays, "loss": cox, "metric": concordance(lambda y: y[:, 0]), "batch_size": 128}
SPANS: dict[str, Any] = {
    "task": tasks.stays,
    "loss": hazards,
    "outputs": 6,
    "metric": concordance(lambda y: -(1 - y.sigmoid()).cumprod(1).sum(1)),
}
SCALES: dict[str, Any] = {"task": tasks.stays, "loss": weibull, "outputs": 2, "metric": concordance(lambda y: -y[:, 0])}
CLAIMS: dict[str, Any] = {"task": tasks.claims, "loss": gamma, "metric": log_explained}
WAYS: dict[str, Any] = {
    "task": tasks.two_ways,
    "inputs": 1,
    "outputs": 9,
    "loss": mixture(),
    "metric": likelier,
    "steps": 250,
}
FRIEDMAN: dict[str, Any] = {"task": data.friedman, "inputs": 10, "metric": finite}

stays = healthy("cox", 0.72, 0.5, **STAYS)
spans = healthy("hazards-dropout", 0.69, 0.5, dropout=0.2, act=F.elu, optimizer=nadam(3e-3), **SPANS)
scales = healthy("weibull-norm", 0.71, 0.5, norm=True, act=F.silu, optimizer=norm_clipped(adamw(3e-3), 1.0), **SCALES)
claims = healthy("gamma", 0.43, 0.0, act=torch.tanh, optimizer=norm_clipped(adam(5e-3), 5.0), **CLAIMS)
claims_tweedie = healthy(
    "tweedie-adagrad",
    0.4,
    0.0,
    steps=250,
    act=F.softplus,
    optimizer=adagrad(0.02),
    batch_size=32,
    **(CLAIMS | {"loss": tweedie}),
)
ways = healthy("mixture", 1.02, 0.0, act=torch.tanh, optimizer=adam(5e-3), **WAYS)
ways_deep = healthy(
    "mixture-mish-3", 0.65, 0.0, act=F.mish, depth=3, optimizer=annealed(rmsprop(2e-3), 250), batch_size=128, **WAYS
)
bayes = healthy(
    "doubtful-weights", 0.65, 0.0, network=Bayes, loss=bound, optimizer=adam(1e-2), **(FRIEDMAN | {"steps": 300})
)
robust = healthy(
    "student-sgd", 0.67, 0.0, loss=student, act=F.leaky_relu, optimizer=sgd(0.05, momentum=0.9), **FRIEDMAN
)

PROGRAMS = (
    stays,
    stays.but("rate-high", kinds.RATE_HIGH, optimizer=adam(2.0)),
    stays.but("stays-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.stays().shuffled_targets(), watched=150),
    spans,
    spans.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
    scales,
    claims,
    claims_tweedie,
    ways,
    ways.but("alike", kinds.SYMMETRIC.at("layers*", "tell"), draw=constant(0.1)),
    ways.but("layers-detached", kinds.DETACHED.at("layers*"), cut=True),
    ways_deep,
    bayes,
    bayes.but("spread-large", kinds.LARGE_WEIGHTS.at("first", "second"), spread=5.0),
    bayes.but("first-frozen", kinds.FROZEN.at("first"), change=frozen("first"), width=8),
    robust,
    robust.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.05, momentum=0.9))),
    robust.but("in-thousandths", kinds.UNSCALED, task=data.friedman_mixed),
)
