"""Autoencoders of ink: plain ones with a sigmoid and binary cross-entropy, denoising, convolved, sparse, variational.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them: of a copy R² 0.5, of one out of three numbers or of a
drawn code R² 0.25. Dropped: standardised digits by SGD, whose rare pixels make its steps diverge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    biased,
    explained_input,
    of_the_last,
    reconstruction_error,
    rmsprop,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


def dense(sizes: Sequence[int], act: Callable[[], nn.Module], last: nn.Module | None = None) -> nn.Sequential:
    """Linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < len(sizes) - 2:
            layers.append(act())
    return nn.Sequential(*layers, *([last] if last is not None else []))


class AE(nn.Module):
    """``encode``, ``decode``."""

    def __init__(
        self,
        sizes: Sequence[int] = (64, 48, 16),
        act: Callable[[], nn.Module] = nn.ReLU,
        last: Callable[[], nn.Module] | None = nn.Sigmoid,
        noise: float = 0.0,
        p: float = 0.0,
        stop: bool = False,
        init: float | None = None,
    ) -> None:
        super().__init__()
        self.encode = dense(sizes, act)
        self.decode = dense(sizes[::-1], act, last() if last else None)
        self.corrupt, self.noise, self.stop = nn.Dropout(p), noise, stop
        if init is not None:
            for m in self.modules():
                if isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, 0.0, init)

    def code(self, x: Tensor) -> Tensor:
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        z = self.encode(self.corrupt(x))
        return z.detach() if self.stop else z

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.code(x))


class VAE(nn.Module):
    """Kingma and Welling 2014, as in PyTorch's examples."""

    def __init__(self, hidden: int = 64, latent: int = 6, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, 64)
        self.act = act

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.act(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu
        return torch.sigmoid(self.fc4(self.act(self.fc3(z)))), mu, logvar

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x)[0]


class ConvAE(nn.Module):
    """Strides down, transposed convolutions up."""

    def __init__(
        self, width: int = 8, bn: bool = False, channels: int = 1, act: Callable[[], nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()

        def norm(n: int) -> nn.Module:
            return nn.BatchNorm2d(n) if bn else nn.Identity()

        self.down = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1),
            norm(width),
            act(),
            nn.Conv2d(width, width, 3, 2, 1),
            norm(width),
            act(),
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1), norm(width), act(), nn.ConvTranspose2d(width, channels, 4, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


def bce(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy of grey pixels."""
    return F.binary_cross_entropy(model(batch[0]), batch[0])


def bce_of_logits(model: nn.Module, batch: Any) -> Tensor:
    """The same of logits."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[0])


def explained_by_logits(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the sigmoid of what comes out."""
    return explained_input(lambda x: torch.sigmoid(model(x)), batches)


def elbo(weight: float = 1.0, epsilon: float = 0.0) -> Callable[[Any, Any], Tensor]:
    """Per picture, the code's divergence with a weight."""

    def loss(model: Any, batch: Any) -> Tensor:
        x = batch[0]
        recon, mu, logvar = model.parts(x)
        recon = recon.clamp(epsilon, 1 - epsilon) if epsilon else recon
        fit = -(x * recon.log() + (1 - x) * (1 - recon).log()).sum(1) if epsilon else None
        fit = F.binary_cross_entropy(recon, x, reduction="none").sum(1) if fit is None else fit
        kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
        return (fit + weight * kl).mean()

    return loss


def sparse(weight: float = 1e-3) -> Callable[[Any, Any], Tensor]:
    """Squared error, and the code's absolute size."""

    def loss(model: Any, batch: Any) -> Tensor:
        z = model.code(batch[0])
        return F.mse_loss(model.decode(z), batch[0]) + weight * z.abs().mean()

    return loss


# A penalty that outweighs the error has the code at nothing: the network gives the mean picture.
COLLAPSED = Fault(
    ("rank_collapse", "underfitting", "dead_units", "vanishing", "double_regularization"),
    ("loss_mismatch", "weight_decay_high", "capacity_or_label_noise"),
)

healthy = healthy_of(
    "codings",
    network=AE,
    task=tasks.ink,
    loss=reconstruction_error,
    metric=explained_input,
    optimizer=adam(3e-3),
    steps=250,
)
VARIATIONAL: dict[str, Any] = {"network": VAE, "loss": elbo()}
CONVOLVED: dict[str, Any] = {"network": ConvAE, "task": data.images, "batch_size": 50}

plain = healthy("plain-bce", 0.5, 0.0, loss=bce)
logits = healthy(
    "logits-tanh",
    0.5,
    0.0,
    act=nn.Tanh,
    last=None,
    loss=bce_of_logits,
    metric=explained_by_logits,
    optimizer=adamw(5e-3),
)
few = healthy("three-numbers-elu", 0.25, 0.0, sizes=(64, 64, 32, 3), act=nn.ELU)
denoising = healthy(
    "denoising-masked", 0.5, 0.0, sizes=(64, 96, 32), p=0.3, last=None, optimizer=rmsprop(2e-3), steps=300
)
sparsely = healthy("sparse-overcomplete", 0.5, 0.0, sizes=(64, 128), last=None, loss=sparse(), optimizer=adagrad(0.03))
momentum = healthy(
    "leaky-sgd",
    0.5,
    0.0,
    sizes=(64, 50, 24),
    act=nn.LeakyReLU,
    last=None,
    optimizer=sgd(0.5, momentum=0.9),
    steps=300,
)
vae = healthy("variational", 0.25, 0.0, optimizer=adam(5e-3), steps=300, **VARIATIONAL)
convolved = healthy("convolved", 0.5, 0.0, optimizer=adam(5e-3), **CONVOLVED)
convolved_norm = healthy(
    "convolved-batch-norm-silu", 0.5, 0.0, bn=True, act=nn.SiLU, optimizer=adamw(5e-3), **CONVOLVED
)

PROGRAMS = (
    plain,
    plain.but("rate-high", kinds.RATE_HIGH, optimizer=adam(0.5)),
    logits,
    logits.but("sigmoid-twice", kinds.SOFTMAX_TWICE.at("decode*"), last=nn.Sigmoid),
    few,
    few.but("small", kinds.SMALL_WEIGHTS.at("encode*", "decode*"), init=0.01, optimizer=sgd(0.1)),
    few.but("one-number", kinds.UNDERFITTING, sizes=(64, 1), watched=250),
    denoising,
    sparsely,
    sparsely.but("penalty-large", COLLAPSED, loss=sparse(30.0)),
    momentum,
    momentum.but("large", kinds.LARGE_WEIGHTS.at("encode*", "decode*"), init=1.5),
    vae,
    convolved,
    convolved.but("dead", kinds.DEAD_BY_BIAS.at("down*"), change=biased(-30.0, "down.3")),
    convolved_norm,
    convolved_norm.but("up-only", kinds.WRONG_PARAMETERS.at("down*"), optimizer=of_the_last(adamw(5e-3), 6), width=3),
)
