"""A linear last layer belongs to regression: another head cannot reach targets outside its range.

One wave at three heights, and the same net with three heads. What a head cannot reach is known beforehand: its error is
at least that of the targets cut off at the ends of its range.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.lessons.data import Split
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain
from headwater.lessons.training import adam, train
from headwater.records.picture import Panel, Picture, Table

TARGETS = {"inside": (0.5, 0.4), "above": (1.5, 1.5), "signed": (0.0, 3.0)}
"""Middle and height of the wave: within 0 and 1, from 0 to 3, from -3 to 3."""
RANGES = {"linear": (-math.inf, math.inf), "relu": (0.0, math.inf), "sigmoid": (0.0, 1.0)}
WIDTH = 32
STEPS = 200
LEARNING_RATE = 1e-2
SEEDS = tuple(range(10))
CLOSE = 1.1  # how near the error of a head comes to the least it can have, as a ratio
SHOWN_SEED = 0


@dataclass(frozen=True)
class Fit:
    """A trained net.

    Attributes:
        error: Rms over the test points.
        answers: At the test points.
        dead: Whether the head gives 0 everywhere.
    """

    error: float
    answers: tuple[float, ...]
    dead: bool


def experiment() -> Outcome:
    """Every head on every wave."""
    t = Texts("linear-output")
    fits = {(case, head): [_fit(case, head, seed) for seed in SEEDS] for case in TARGETS for head in RANGES}
    errors = {key: [fit.error for fit in runs] for key, runs in fits.items()}
    least = {key: _least_error(*key) for key in fits}
    checks = (
        t.over_seeds("sigmoid_above", _decades(errors["above", "sigmoid"], errors["above", "linear"]), low=0.0),
        t.over_seeds("sigmoid_signed", _decades(errors["signed", "sigmoid"], errors["signed", "linear"]), low=0.0),
        t.over_seeds("relu_signed", _decades(errors["signed", "relu"], errors["signed", "linear"]), low=0.0),
        t.over_seeds(
            "least", [error / least["signed", "sigmoid"] for error in errors["signed", "sigmoid"]], 1.0, CLOSE
        ),
        t.over_seeds("inside", _decades(errors["inside", "linear"], errors["inside", "sigmoid"]), low=0.0),
    )
    means = {key: statistics.fmean(values) for key, values in errors.items()}
    dead = {key: sum(fit.dead for fit in runs) for key, runs in fits.items()}
    values = {f"{case}_{head}": mean for (case, head), mean in means.items()}
    values |= {
        "least_sigmoid": least["signed", "sigmoid"],
        "least_relu": least["signed", "relu"],
        "dead": sum(dead[case, "relu"] for case in TARGETS),
        "runs": len(TARGETS) * len(SEEDS),
    }
    panels = tuple(_panel(t, case, fits) for case in TARGETS)
    columns = tuple(t(f"column.{name}") for name in ("targets", "head", "error", "least", "dead"))
    rows = tuple(
        (t(f"panel.{case}"), t(f"curve.{head}"), mean, least[case, head], dead[case, head])
        for (case, head), mean in means.items()
    )
    return Outcome(
        checks, values, (Picture(t("summary", **values), panels),), (Table(t("table"), columns, rows),), SEEDS
    )


def _wave(case: str, x: Tensor) -> Tensor:
    middle, height = TARGETS[case]
    return middle + height * torch.sin(math.pi * x)


def _points(count: int) -> Tensor:
    return torch.linspace(-1.0, 1.0, count).unsqueeze(1)


def _fit(case: str, head: str, seed: int) -> Fit:
    """Train one net; the test points lie between those trained on."""
    x, test_x = _points(200), _points(501)
    data = Split(x, _wave(case, x), test_x, _wave(case, test_x))
    model = chain([1, WIDTH, WIDTH, 1], "tanh", seed=seed, output=None if head == "linear" else head)
    squared = nn.functional.mse_loss
    after = train(model, data, steps=STEPS, optimizer=adam(LEARNING_RATE), batch=None, loss=squared, seed=seed)
    with torch.no_grad():
        answers = model(test_x)[:, 0]
    return Fit(math.sqrt(-after.test), tuple(answers.tolist()), not answers.any())


def _least_error(case: str, head: str) -> float:
    """The error of the wave cut off at the ends of the head's range: nothing in the range comes closer."""
    wave = _wave(case, _points(501))
    low, high = RANGES[head]
    return float((wave - wave.clamp(low, high)).square().mean().sqrt())


def _decades(more: list[float], less: list[float]) -> list[float]:
    return [math.log10(a / b) for a, b in zip(more, less, strict=True)]


def _panel(t: Texts, case: str, fits: dict[tuple[str, str], list[Fit]]) -> Panel:
    """A wave, and what each head makes of it."""
    x = _points(501)[::5]
    target = t.curve("target", x[:, 0].tolist(), _wave(case, x)[:, 0].tolist(), reference=True)
    curves = [t.curve(head, x[:, 0].tolist(), fits[case, head][SHOWN_SEED].answers[::5]) for head in RANGES]
    return Panel(t(f"panel.{case}"), t.axis("x"), t.axis("y"), (target, *curves))


LESSON = Lesson("linear-output", experiment, seconds=6.0)
