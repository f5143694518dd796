"""Networks that tell a number: Friedman's function, waves, the course of diabetes."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    between,
    biased,
    broadcast_error,
    constant,
    explained,
    he,
    huber,
    normal,
    of_a_copy,
    of_the_last,
    rmsprop,
    sgd,
    squared_error,
    xavier,
)
from benchmarks.faults.families.mlp import mlp
from benchmarks.faults.program import Program


def healthy(name: str, learns: float, steps: int = 200, watched: int = 40, **recipe: Any) -> Program:
    """A healthy program of this family; the mean of the targets explains nothing."""
    known: dict[str, Any] = {"outputs": 1, "loss": squared_error, "metric": explained}
    return Program(
        f"regression/{name}",
        "regression",
        partial(mlp, **(known | recipe)),
        steps=steps,
        watched=watched,
        chance=0.0,
        learns=learns,
    )


FRIEDMAN: dict[str, Any] = {"digits": data.friedman, "inputs": 10}
WAVE: dict[str, Any] = {"digits": data.wave, "inputs": 1}
DIABETES: dict[str, Any] = {"digits": data.diabetes, "inputs": 10}

friedman = healthy("friedman", 0.75, optimizer=adam(5e-3), **FRIEDMAN)
friedman_sgd = healthy("friedman-momentum", 0.75, activation=nn.SiLU, optimizer=sgd(0.02, momentum=0.9), **FRIEDMAN)
friedman_deep = healthy(
    "friedman-tanh-8", 0.7, depth=8, activation=nn.Tanh, draw=xavier, optimizer=adam(2e-3), **FRIEDMAN
)
wave = healthy("wave", 0.8, depth=4, width=48, activation=nn.Tanh, optimizer=adam(1e-2), steps=300, **WAVE)
friedman_huber = healthy("friedman-huber", 0.7, depth=4, draw=he, loss=huber, optimizer=rmsprop(2e-3), **FRIEDMAN)
diabetes = healthy("diabetes", 0.3, depth=2, width=16, optimizer=adamw(5e-3), steps=150, **DIABETES)
linear = healthy("linear", 0.3, depth=1, optimizer=sgd(0.05), steps=150, **DIABETES)
linear_full = healthy("linear-full-batch", 0.3, depth=1, optimizer=sgd(0.1), batch_size=353, steps=150, **DIABETES)
full_batch = healthy(
    "friedman-full-batch", 0.6, width=32, activation=nn.Tanh, optimizer=sgd(0.2), batch_size=960, **FRIEDMAN
)

PROGRAMS = (
    friedman,
    friedman.but("mixed-units", kinds.UNSCALED, digits=data.friedman_mixed),
    friedman.but("relu-head", kinds.WRONG_HEAD.at("5", "4"), head=nn.ReLU),
    friedman.but(
        "labels-shuffled", kinds.SHUFFLED_LABELS, digits=lambda: data.friedman().shuffled_targets(), watched=200
    ),
    friedman.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(5e-3))),
    friedman_sgd,
    friedman_sgd.but("sigmoid-head", kinds.WRONG_HEAD.at("5", "4"), head=nn.Sigmoid),
    friedman_sgd.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(2.0, momentum=0.9)),
    friedman_sgd.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6)),
    friedman_sgd.but("broadcast", kinds.WRONG_HEAD, loss=broadcast_error),
    friedman_deep,
    friedman_deep.but("sigmoid", kinds.SIGMOID_DEPTH.at(*between(0, 8)), activation=nn.Sigmoid),
    friedman_deep.but("weights-small", kinds.SMALL_WEIGHTS.at(*between(0, 8)), draw=normal(0.01)),
    friedman_deep.but("detached", kinds.DETACHED.at(*between(0, 12)), cut=12),
    wave,
    wave.but("no-activation", kinds.LINEAR, activation=None),
    wave.but("head-only", kinds.WRONG_PARAMETERS.at(*between(0, 6)), optimizer=of_the_last(adam(1e-2), 2)),
    wave.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adam(1e-2, weight_decay=1.0)),
    friedman_huber,
    friedman_huber.but("dead", kinds.DEAD_BY_BIAS.at("2", "3"), change=biased(-30.0, "2")),
    friedman_huber.but("one-unit", kinds.UNDERFITTING, width=1, activation=nn.Tanh, draw=None, watched=200),
    diabetes,
    diabetes.but(
        "thirty-samples",
        kinds.OVERFITTING,
        digits=lambda: data.diabetes().first(30),
        width=128,
        watched=150,
        optimizer=adam(1e-2),
    ),
    diabetes.but("constant", kinds.SYMMETRIC.at("0", "2"), draw=constant(0.1)),
    linear,
    linear.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(0.5)),
    # The loss is a parabola whose steepest direction allows steps up to 0.2562.
    linear_full,
    linear_full.but("oscillating", kinds.OSCILLATION, optimizer=sgd(0.262)),
    full_batch,
    full_batch.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(0.8)),
)
