"""Pictures that are blended, cut, smoothed and turned while a network trains on them; labels that are guessed or lost.

Marks, set by task before any training: digits 0.8, also of those trained on blends and holes; with three in ten of the
labels known 0.7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import adam, adamw, annealed, biased, he, of_the_first, sgd
from benchmarks.faults.recipe import healthy_of

Loss = Callable[[Any, Any], Tensor]


def small_cnn(
    norm: bool = False,
    dropout: float = 0.0,
    act: Callable[[], nn.Module] = nn.ReLU,
    width: int = 16,
) -> nn.Sequential:
    """Three convolutions and two linear layers."""

    def conv(a: int, b: int) -> list[nn.Module]:
        normed = [nn.BatchNorm2d(b)] if norm else []
        return [nn.Conv2d(a, b, 3, padding=1), *normed, act()]

    return nn.Sequential(
        *conv(1, width),
        *conv(width, width),
        nn.MaxPool2d(2),
        *conv(width, 2 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 64),
        act(),
        nn.Dropout(dropout),
        nn.Linear(64, 10),
    )


def mixup(alpha: float = 0.4) -> Loss:
    """Two pictures at once, and both labels (Zhang et al. 2018)."""
    beta = torch.distributions.Beta(alpha, alpha)

    def loss(model: Any, batch: Any) -> Tensor:
        x, y = batch
        if not model.training:
            return F.cross_entropy(model(x), y)
        share = float(beta.sample())
        other = torch.randperm(len(x))
        logits = model(share * x + (1 - share) * x[other])
        return share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[other])

    return loss


def cutmix(model: Any, batch: Any) -> Tensor:
    """A piece of another picture pasted in, and its label by the piece's area (Yun et al. 2019)."""
    x, y = batch
    if not model.training:
        return F.cross_entropy(model(x), y)
    side = int(torch.randint(2, 6, ()))
    top, left = (int(torch.randint(0, 9 - side, ())) for _ in range(2))
    other = torch.randperm(len(x))
    x = x.clone()
    x[:, :, top : top + side, left : left + side] = x[other, :, top : top + side, left : left + side]
    share = 1 - side * side / 64
    logits = model(x)
    return share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[other])


def cutout(model: Any, batch: Any) -> Tensor:
    """A hole of 3×3 in each batch (DeVries and Taylor 2017), pictures shifted by a pixel."""
    x, y = batch
    if model.training:
        top, left = (int(torch.randint(0, 6, ())) for _ in range(2))
        x = torch.roll(x, (int(torch.randint(-1, 2, ())), int(torch.randint(-1, 2, ()))), (2, 3)).clone()
        x[:, :, top : top + 3, left : left + 3] = 0
    return F.cross_entropy(model(x), y)


def smoothed(model: Any, batch: Any, share: float = 0.1) -> Tensor:
    """Label smoothing (Szegedy et al. 2016): the loss cannot fall below the smoothed targets' entropy."""
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=share if model.training else 0.0)


def smoothed_probabilities(model: Any, batch: Any) -> Tensor:
    """The same, of what a softmax has been over already."""
    return F.cross_entropy(model(batch[0]).softmax(1), batch[1], label_smoothing=0.1)


def twice(model: Any, batch: Any) -> Tensor:
    """Two runs with other units dropped should agree (R-Drop; Liang et al. 2021)."""
    one, other = (F.log_softmax(model(batch[0]), 1) for _ in range(2))
    apart = F.kl_div(one, other, log_target=True, reduction="batchmean")
    apart = apart + F.kl_div(other, one, log_target=True, reduction="batchmean")
    return (F.nll_loss(one, batch[1]) + F.nll_loss(other, batch[1]) + apart) / 2


def guessed(model: Any, batch: Any, sure: float = 0.9, detached: bool = False) -> Tensor:
    """What is known, and sure guesses about the rest, kept under noise (FixMatch; Sohn et al. 2020)."""
    x, y = batch
    known = y >= 0
    if not model.training:
        return F.cross_entropy(model(x), y)
    logits = model(x)
    loss = F.cross_entropy(logits[known], y[known])
    share, guess = logits[~known].detach().softmax(1).max(1)
    noisy = model(x[~known] + 0.5 * torch.randn_like(x[~known]))
    kept = F.cross_entropy(noisy, guess, reduction="none") * (share > sure)
    loss = loss + kept.mean()
    return loss.detach().requires_grad_() if detached else loss


def noisy_input(model: Any, batch: Any) -> Tensor:
    """As much noise as there is picture."""
    x, y = batch
    return F.cross_entropy(model(x + torch.randn_like(x) if model.training else x), y)


healthy = healthy_of("augmented", network=small_cnn, task=data.images, optimizer=adam(3e-3), steps=150, batch_size=64)
LOST = partial(tasks.half_known, data.images())

mixed = healthy("mixup", 0.8, 0.1, loss=mixup())
mixed_hard = healthy(
    "mixup-even", 0.8, 0.1, loss=mixup(2.0), norm=True, optimizer=annealed(sgd(0.1, momentum=0.9), 150)
)
pasted = healthy("cutmix", 0.8, 0.1, loss=cutmix, norm=True, optimizer=adamw(5e-3, weight_decay=0.01))
holes = healthy("cutout", 0.8, 0.1, loss=cutout, draw=he, optimizer=adam(3e-3, amsgrad=True), steps=200)
smooth = healthy("smoothed", 0.8, 0.1, loss=smoothed, act=nn.SiLU, optimizer=adamw(3e-3))
agreeing = healthy("agreeing", 0.8, 0.1, loss=twice, dropout=0.5, optimizer=adam(3e-3))
fixmatch = healthy("guessed", 0.7, 0.1, loss=guessed, task=LOST, dropout=0.1, batch_size=96)
in_noise = healthy("in-noise", 0.8, 0.1, loss=noisy_input, width=24)

PROGRAMS = (
    mixed,
    mixed.but("rate-high", kinds.RATE_HIGH, optimizer=adam(0.5)),
    mixed_hard,
    pasted,
    pasted.but(
        "of-the-first",
        kinds.WRONG_PARAMETERS.at("3", "4", "7", "8", "12", "15"),
        optimizer=of_the_first(adamw(5e-3), 2),
    ),
    holes,
    holes.but("dead", kinds.DEAD_BY_BIAS.at("0", "1", "2", "3", "5", "6"), change=biased(-10.0, "0", "2", "5")),
    smooth,
    smooth.but("probabilities", kinds.SOFTMAX_TWICE, loss=smoothed_probabilities),
    agreeing,
    agreeing.but("dropout", kinds.DROPOUT.at("11"), dropout=0.98),
    fixmatch,
    fixmatch.but("bytes", kinds.UNSCALED, task=lambda: tasks.half_known(data.image_bytes()), optimizer=sgd(0.05)),
    in_noise,
    in_noise.but("labels-shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.images().shuffled_targets(), watched=150),
)
