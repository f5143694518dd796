"""Multilayer perceptrons out of ``nn.Sequential``: tables, points and digits, under every optimizer and initialisation.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    decaying,
    evaluating,
    forgetful,
    he,
    nadam,
    norm_clipped,
    normal,
    of_a_copy,
    of_the_last,
    orthogonal,
    rmsprop,
    sgd,
    undecayed,
    xavier,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

Layer = Callable[[], nn.Module]


def stack(
    *sizes: int,
    act: Layer | None = nn.ReLU,
    norm: Callable[[int], nn.Module] | None = None,
    p: float = 0.0,
    last: Layer | None = None,
) -> nn.Sequential:
    """Blocks of a linear layer, a normalisation, an activation and dropout, and a last linear layer."""
    blocks = []
    for a, b in pairwise(sizes[:-1]):
        block: list[nn.Module] = [nn.Linear(a, b)]
        block += [norm(b)] if norm else []
        block += [act()] if act else []
        block += [nn.Dropout(p)] if p else []
        blocks.append(nn.Sequential(*block))
    return nn.Sequential(*blocks, nn.Linear(sizes[-2], sizes[-1]), *([last()] if last else []))


def net(sizes: tuple[int, ...] = (64, 64, 10), **options: Any) -> nn.Module:
    """The same from a tuple."""
    return stack(*sizes, **options)


def wide(depth: int, width: int, inputs: int = 64, outputs: int = 10) -> tuple[int, ...]:
    """Sizes of so many hidden layers of one width."""
    return (inputs, *[width] * depth, outputs)


def likelihood(model: nn.Module, batch: Any) -> Tensor:
    """Negative log-likelihood of what should be logarithms of probabilities."""
    return F.nll_loss(model(batch[0]), batch[1])


def in_four(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy in four smaller batches whose gradients add up."""
    losses = [F.cross_entropy(model(x), y) for x, y in zip(batch[0].chunk(4), batch[1].chunk(4), strict=True)]
    return torch.stack(losses).mean()


healthy = healthy_of("layered", network=net, task=data.digits, optimizer=adam(1e-3), steps=200)
TAGS: dict[str, Any] = {"task": tasks.tags, "loss": binary_cross_entropy, "metric": binary_accuracy}
BALL: dict[str, Any] = {"task": tasks.ball, "loss": binary_cross_entropy, "metric": binary_accuracy}
TUMOURS: dict[str, Any] = {"task": data.cancer, "loss": binary_cross_entropy, "metric": binary_accuracy}
LOANS: dict[str, Any] = {"task": tasks.loans, "batch_size": 50}

plain = healthy("digits-128-64", 0.8, 0.1, sizes=(64, 128, 64, 10))
momentum = healthy("digits-momentum", 0.8, 0.1, sizes=wide(3, 100), optimizer=sgd(0.05, momentum=0.9))
deep_he = healthy("digits-he-10", 0.8, 0.1, sizes=wide(10, 80), draw=he, optimizer=adam(5e-4))
deep_tanh = healthy(
    "digits-tanh-orthogonal-8", 0.8, 0.1, sizes=wide(8, 64), act=nn.Tanh, draw=orthogonal, optimizer=sgd(0.05)
)
layer_norm = healthy(
    "digits-layer-norm-gelu", 0.8, 0.1, sizes=wide(6, 64), act=nn.GELU, norm=nn.LayerNorm, optimizer=adamw(2e-3)
)
batch_norm = healthy(
    "digits-batch-norm-6", 0.8, 0.1, sizes=wide(6, 64), norm=nn.BatchNorm1d, optimizer=sgd(0.1, momentum=0.9)
)
likely = healthy(
    "digits-log-softmax", 0.8, 0.1, sizes=(64, 90, 10), last=lambda: nn.LogSoftmax(1), loss=likelihood, batch_size=32
)
dropped = healthy("digits-dropout-half", 0.8, 0.1, sizes=wide(2, 256), p=0.5, optimizer=adam(2e-3))
inplace = healthy(
    "digits-in-place-accumulated",
    0.8,
    0.1,
    sizes=wide(3, 64),
    act=lambda: nn.ReLU(inplace=True),
    loss=in_four,
    optimizer=adam(2e-3),
    batch_size=128,
)
unit = healthy("unit-digits-adam", 0.8, 0.1, task=tasks.unit_digits, sizes=wide(2, 128), optimizer=adam(2e-3))
leaky = healthy(
    "digits-leaky-step-lr", 0.8, 0.1, sizes=wide(4, 72), act=nn.LeakyReLU, optimizer=decaying(adam(3e-3), 0.5, 60)
)
moons = healthy("moons-tanh", 0.9, 0.56, task=tasks.moons, sizes=(2, 16, 16, 2), act=nn.Tanh, optimizer=adam(0.02))
moons_sgd = healthy(
    "moons-nesterov", 0.9, 0.56, task=tasks.moons, sizes=(2, 32, 32, 2), optimizer=sgd(0.1, momentum=0.9, nesterov=True)
)
shells = healthy(
    "shells-elu", 0.6, 0.27, task=tasks.shells, sizes=(5, 64, 64, 4), act=nn.ELU, optimizer=adam(5e-3), steps=300
)
ball = healthy("ball-silu", 0.75, 0.51, sizes=(10, 64, 64, 1), act=nn.SiLU, optimizer=adamw(5e-3), **BALL)
ball_selu = healthy(
    "ball-selu-rmsprop", 0.75, 0.51, sizes=(10, 80, 40, 1), act=nn.SELU, optimizer=rmsprop(2e-3), **BALL
)
tags = healthy("tags-multi-label", 0.78, 0.56, sizes=(24, 64, 6), optimizer=adam(3e-3), **TAGS)
tags_clipped = healthy(
    "tags-clipped-xavier",
    0.78,
    0.56,
    sizes=(24, 50, 50, 6),
    draw=xavier,
    optimizer=norm_clipped(sgd(0.2, momentum=0.9), 1.0),
    **TAGS,
)
loans = healthy(
    "loans-undecayed", 0.7, 0.36, sizes=(12, 64, 64, 3), optimizer=undecayed(torch.optim.AdamW, 0.1, lr=3e-3), **LOANS
)
loans_nadam = healthy("loans-mish-nadam", 0.7, 0.36, sizes=(12, 96, 3), act=nn.Mish, optimizer=nadam(3e-3), **LOANS)
tumours = healthy("tumours-sigmoid-one", 0.88, 0.65, sizes=(30, 20, 1), act=nn.Sigmoid, optimizer=adam(0.02), **TUMOURS)

more = (
    healthy("digits-one-hidden", 0.8, 0.1, sizes=(64, 30, 10), optimizer=sgd(0.2)),
    healthy("digits-small-batches", 0.8, 0.1, sizes=(64, 64, 10), batch_size=16, optimizer=sgd(0.05)),
    healthy("digits-large-batches", 0.8, 0.1, sizes=wide(2, 100), batch_size=256, optimizer=adam(3e-3)),
    healthy("digits-softplus", 0.8, 0.1, sizes=wide(2, 64), act=nn.Softplus, optimizer=adam(3e-3)),
    healthy("digits-tanh-two", 0.8, 0.1, sizes=wide(2, 80), act=nn.Tanh, optimizer=rmsprop(1e-3)),
    healthy("digits-hardswish", 0.8, 0.1, sizes=wide(3, 80), act=nn.Hardswish, optimizer=nadam(2e-3)),
    healthy("digits-decayed", 0.8, 0.1, sizes=wide(2, 128), optimizer=adamw(2e-3, weight_decay=0.05)),
    healthy("digits-adam-clipped", 0.8, 0.1, sizes=wide(4, 64), optimizer=norm_clipped(adam(2e-3), 1.0)),
    healthy(
        "digits-prelu-orthogonal", 0.8, 0.1, sizes=wide(5, 64), act=nn.PReLU, draw=orthogonal, optimizer=adam(1e-3)
    ),
    healthy("loans-dropout", 0.7, 0.36, sizes=(12, 100, 100, 3), p=0.3, optimizer=adam(3e-3), **LOANS),
    healthy("loans-batch-norm", 0.7, 0.36, sizes=(12, 48, 48, 3), norm=nn.BatchNorm1d, optimizer=sgd(0.05), **LOANS),
    healthy("tumours-relu", 0.88, 0.65, sizes=(30, 32, 16, 1), optimizer=adam(3e-3), **TUMOURS),
    healthy(
        "tumours-momentum", 0.88, 0.65, sizes=(30, 24, 1), act=nn.Tanh, optimizer=sgd(0.05, momentum=0.9), **TUMOURS
    ),
    healthy("moons-gelu", 0.9, 0.56, task=tasks.moons, sizes=(2, 24, 24, 2), act=nn.GELU, optimizer=adamw(0.01)),
    healthy("tags-dropout", 0.78, 0.56, sizes=(24, 128, 6), p=0.3, optimizer=adam(3e-3), **TAGS),
)

# What two samples are normalised by is noise, which at a rate for 64 samples moves the weights as well.
TINY_BATCHES = Fault(
    ("normalization_misuse", "oscillation", "lr_too_high"), ("normalization_misuse", "learning_rate_high")
)

PROGRAMS = (
    plain,
    plain.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.digits().shuffled_targets(), watched=200),
    plain.but("no-log-softmax", kinds.WRONG_HEAD, loss=likelihood, optimizer=sgd(0.05)),
    plain.but("optimizer-of-a-copy", kinds.WRONG_PARAMETERS.at("*"), optimizer=of_a_copy(adam(1e-3))),
    momentum,
    momentum.but("rate-1e-5", kinds.RATE_LOW, optimizer=sgd(1e-5, momentum=0.9)),
    momentum.but("rate-3", kinds.RATE_HIGH, optimizer=sgd(3.0, momentum=0.9)),
    momentum.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.05, momentum=0.9))),
    deep_he,
    deep_he.but("fifth-of-he", kinds.SMALL_WEIGHTS.at("*"), draw=normal(0.03)),
    deep_he.but("unit-normal", kinds.LARGE_WEIGHTS.at("*"), draw=normal(1.0)),
    deep_tanh,
    deep_tanh.but("sigmoid", kinds.SIGMOID_DEPTH.at("*"), act=nn.Sigmoid, draw=xavier),
    deep_tanh.but("saturated", kinds.SATURATED.at("*"), draw=normal(2.0)),
    layer_norm,
    layer_norm.but(
        "last-only",
        kinds.WRONG_PARAMETERS.at("0*", "1*", "2*", "3*", "4*", "5*"),
        optimizer=of_the_last(adamw(2e-3), 1),
    ),
    batch_norm,
    batch_norm.but("pairs", TINY_BATCHES.at("*.1"), batch_size=2),
    batch_norm.but("in-eval", kinds.NORMALIZATION.at("*.1"), change=evaluating),
    likely,
    dropped,
    dropped.but("nearly-all", kinds.DROPOUT.at("*.2"), p=0.97),
    inplace,
    unit,
    unit.but("sigmoid-8", kinds.SIGMOID_DEPTH.at("*"), sizes=wide(8, 128), act=nn.Sigmoid),
    leaky,
    leaky.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(3e-3, weight_decay=100.0), watched=100),
    moons,
    moons.but("no-activation", kinds.LINEAR, act=None),
    moons_sgd,
    shells,
    ball,
    ball_selu,
    tags,
    tags.but("sigmoid-twice", kinds.SOFTMAX_TWICE.at("2", "1"), last=nn.Sigmoid, optimizer=sgd(0.05)),
    tags_clipped,
    loans,
    loans.but("as-kept", kinds.UNSCALED, task=tasks.loans_as_kept),
    loans.but("dead", kinds.DEAD_BY_BIAS.at("0*", "1*"), change=biased(-40.0, "1.0")),
    loans_nadam,
    tumours,
    *more,
)
