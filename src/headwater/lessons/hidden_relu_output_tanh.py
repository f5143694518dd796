"""ReLU inside, tanh at the output: for bounded targets, and against tanh everywhere.

The two differ by one remedy, each with the weights that suit it (He's and Xavier's), and are trained on two bounded
targets: a wavy surface over two inputs, and images of digits that have to be given back. On the second the claim turns
out false. Radford, Metz, Chintala 2016, arXiv:1511.06434, section 3, for the recipe.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.api import apply, check
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain
from headwater.lessons.training import adam, train
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval

DEPTH, WIDTH = 10, 64
STEPS, RATE = 200, 3e-3
SEEDS = tuple(range(10))
SAMPLES = 1000
BATCH = 256
REMEDY = "activation.relu_inside_tanh_out"
SMOOTH = 10  # steps of a curve's point
T = Texts("hidden-relu-output-tanh")


@dataclass(frozen=True)
class Trial:
    """One network.

    Attributes:
        losses: Of each step.
        error: Mean squared, on held-out data.
        cosine: Mean |cos| between what two inputs have become at the last hidden layer, before training.
        slope: Rms of the last hidden layer's derivatives, before training.
    """

    losses: tuple[float, ...]
    error: float
    cosine: float
    slope: float


def experiment() -> Outcome:
    """Both targets, both networks, under each seed."""
    found = {name: [_pair(make(), seed) for seed in SEEDS] for name, make in TARGETS.items()}
    gains = {name: [math.log10(tanh.error / relu.error) for tanh, relu in pairs] for name, pairs in found.items()}
    checks = (
        T.over_seeds("surface", gains["surface"], low=0.0),
        T.over_seeds("images", [-gain for gain in gains["images"]], low=0.0),
        T.over_seeds("merged", [relu.cosine - tanh.cosine for tanh, relu in found["images"]], low=0.0),
    )
    values: dict[str, Value] = {
        "depth": DEPTH,
        "steps": STEPS,
        **_ratio("surface", gains["surface"]),
        **_ratio("images", [-gain for gain in gains["images"]]),
        "slope": statistics.fmean(tanh.slope for tanh, _ in found["surface"]),
        "tanh_cosine": statistics.fmean(tanh.cosine for tanh, _ in found["images"]),
        "relu_cosine": statistics.fmean(relu.cosine for _, relu in found["images"]),
    }
    columns = tuple(T(f"column.{key}") for key in ("target", "tanh", "relu", "ratio", "low", "high"))
    rows = tuple(_row(name, pairs, gains[name]) for name, pairs in found.items())
    picture = Picture(T("summary", **values), tuple(_panel(name, pairs) for name, pairs in found.items()))
    return Outcome(checks, values, (picture,), (Table(T("table"), columns, rows),), SEEDS)


def _ratio(name: str, decades: list[float]) -> dict[str, float]:
    """How many times smaller an error is, and the interval."""
    numbers = (statistics.fmean(decades), *t_interval(decades))
    return {f"{name}{part}": 10**number for part, number in zip(("", "_low", "_high"), numbers, strict=True)}


def _surface() -> Split:
    """0.9 sin(4x) cos(3y) over the square from -1 to 1, inputs in units of their spread."""
    generator = torch.Generator().manual_seed(0)
    points = 2 * torch.rand(SAMPLES + SAMPLES // 2, 2, generator=generator) - 1
    heights = 0.9 * torch.sin(4 * points[:, :1]) * torch.cos(3 * points[:, 1:])
    inputs = points * 3**0.5
    return Split(inputs[:SAMPLES], heights[:SAMPLES], inputs[SAMPLES:], heights[SAMPLES:])


def _images() -> Split:
    """Digits, to be given back with every pixel between -1 and 1."""
    data = digits()
    low, high = data.x.min(0).values, data.x.max(0).values

    def bounded(x: Tensor) -> Tensor:
        return (2 * (x - low) / (high - low).clamp(min=1e-3) - 1).clamp(-1, 1)

    return Split(data.x, bounded(data.x), data.test_x, bounded(data.test_x))


TARGETS: dict[str, Callable[[], Split]] = {"surface": _surface, "images": _images}


def _pair(data: Split, seed: int) -> tuple[Trial, Trial]:
    """Both networks: tanh everywhere, and the same network with the remedy."""
    sizes = [data.x.shape[1], *[WIDTH] * (DEPTH - 1), data.y.shape[1]]
    tanh = chain(sizes, "tanh", seed=seed, output="tanh")
    relu = apply(tanh, [REMEDY, "init.he"], seed=seed)
    return _trial(apply(tanh, "init.xavier", seed=seed), data, seed), _trial(relu, data, seed)


def _trial(model: nn.Module, data: Split, seed: int) -> Trial:
    sites = check(model, (data.x[:BATCH], data.y[:BATCH]), _error, sites=(nn.Tanh, nn.ReLU)).flow.sites
    numbers = (sites[-2].abs_cosine, sites[-2].derivative_rms)
    cosine, slope = (math.nan if number is None else number for number in numbers)
    run = train(model, data, steps=STEPS, optimizer=adam(RATE), loss=nn.functional.mse_loss, seed=seed)
    return Trial(run.losses, -run.test, cosine, slope)


def _error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def _row(target: str, pairs: list[tuple[Trial, Trial]], gains: list[float]) -> tuple[Value | Message, ...]:
    errors = (statistics.fmean(trial.error for trial in trials) for trials in zip(*pairs, strict=True))
    return T(f"target.{target}"), *errors, *_ratio("", gains).values()


def _panel(target: str, pairs: list[tuple[Trial, Trial]]) -> Panel:
    curves = tuple(
        _losses(name, trials) for name, trials in zip(("tanh", "relu"), zip(*pairs, strict=True), strict=True)
    )
    return Panel(T(f"target.{target}"), T.axis("step"), T.axis("loss", log10=True), curves)


def _losses(name: str, trials: Sequence[Trial]) -> Curve:
    """log₁₀ of the loss by step, means over seeds and neighbouring steps with intervals over seeds."""
    by_seed = torch.tensor([trial.losses for trial in trials]).reshape(len(trials), -1, SMOOTH).mean(2).log10()
    low, high = zip(*(t_interval(row) for row in by_seed.T.tolist()), strict=True)
    return T.curve(name, range(SMOOTH, STEPS + 1, SMOOTH), by_seed.mean(0).tolist(), low=low, high=high)


LESSON = Lesson("hidden-relu-output-tanh", experiment, seconds=9.0)
