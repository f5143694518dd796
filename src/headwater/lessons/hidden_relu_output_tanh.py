"""ReLU inside, tanh at the output: for bounded targets, and against tanh everywhere.

The two differ by one remedy, and are trained with PyTorch's default weights and with those that suit each (Xavier's and
He's), on two bounded targets: a wavy surface over two inputs, and images of digits that have to be given back. On the
second the claim turns out false. Radford, Metz, Chintala 2016, arXiv:1511.06434, section 3, for the recipe.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.api import check
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, changed
from headwater.lessons.training import Trained, adam, train
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval

DEPTH, WIDTH = 10, 64
STEPS, RATE = 200, 3e-3
SEEDS = (0, 1, 2, 3, 4)
SAMPLES = 1000
BATCH = 256
REMEDY = "activation.relu_inside_tanh_out"
INITS = {"default": None, "own": {"tanh": "init.xavier", "relu": "init.he"}}
"""PyTorch's, and what suits each activation."""

SMOOTH = 10  # steps of a curve's point
T = Texts("hidden-relu-output-tanh")


@dataclass(frozen=True)
class Pair:
    """Both networks from one seed.

    Attributes:
        tanh: tanh everywhere.
        relu: ReLU inside, tanh at the output.
        cosines: Mean |cos| of the last hidden layer's outputs before training, of each.
    """

    tanh: Trained
    relu: Trained
    cosines: tuple[float, float]

    @property
    def gain(self) -> float:
        """Decades by which the held-out error is smaller with ReLU inside."""
        return math.log10(self.tanh.test / self.relu.test)


def experiment() -> Outcome:
    """Both targets, both initialisations, under each seed."""
    targets = {name: make() for name, make in TARGETS.items()}
    found = {
        (target, init): [_pair(data, init, seed) for seed in SEEDS]
        for target, data in targets.items()
        for init in INITS
    }
    gains = {key: [pair.gain for pair in pairs] for key, pairs in found.items()}
    images = found["images", "own"]
    checks = (
        T.over_seeds("surface_default", gains["surface", "default"], low=0.0),
        T.over_seeds("surface_own", gains["surface", "own"], low=0.0),
        T.over_seeds("images_default", gains["images", "default"], low=0.0),
        T.over_seeds("images_own", [-gain for gain in gains["images", "own"]], low=0.0),
        T.over_seeds("merged", [pair.cosines[1] - pair.cosines[0] for pair in images], low=0.0),
    )
    values: dict[str, Value] = {"depth": DEPTH, "steps": STEPS}
    for (target, init), row in gains.items():
        values[f"{target}_{init}"] = 10 ** statistics.fmean(row)
        values[f"{target}_{init}_low"], values[f"{target}_{init}_high"] = (10**bound for bound in t_interval(row))
    values["images_worse"] = 1 / 10 ** statistics.fmean(gains["images", "own"])
    values["tanh_cosine"], values["relu_cosine"] = (
        statistics.fmean(pair.cosines[i] for pair in images) for i in (0, 1)
    )
    columns = tuple(T(f"column.{key}") for key in ("target", "init", "tanh", "relu", "ratio", "low", "high"))
    rows = tuple(_row(target, init, pairs) for (target, init), pairs in found.items())
    picture = Picture(T("summary", **values), tuple(_panel(target, found[target, "own"]) for target in TARGETS))
    return Outcome(checks, values, (picture,), (Table(T("table"), columns, rows),), SEEDS)


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


def _pair(data: Split, init: str, seed: int) -> Pair:
    inputs, outputs = data.x.shape[1], data.y.shape[1]
    tanh = chain([inputs, *[WIDTH] * (DEPTH - 1), outputs], "tanh", seed=seed, output="tanh")
    relu = changed(tanh, REMEDY, seed=seed)
    remedies = INITS[init]
    if remedies is not None:
        tanh, relu = changed(tanh, remedies["tanh"], seed=seed), changed(relu, remedies["relu"], seed=seed)
    cosines = _abs_cosine(tanh, data), _abs_cosine(relu, data)
    return Pair(_trained(tanh, data, seed), _trained(relu, data, seed), cosines)


def _error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def _trained(model: nn.Module, data: Split, seed: int) -> Trained:
    """Train; its scores become errors again, which ``train`` gives with a minus."""
    run = train(model, data, steps=STEPS, optimizer=adam(RATE), loss=nn.functional.mse_loss, seed=seed)
    return Trained(run.losses, -run.train, -run.test)


def _abs_cosine(model: nn.Module, data: Split) -> float:
    """Mean |cos| between what two inputs have become at the last hidden layer."""
    sites = check(model, (data.x[:BATCH], data.y[:BATCH]), _error, sites=(nn.Tanh, nn.ReLU)).flow.sites
    cosine = sites[-2].abs_cosine
    return math.nan if cosine is None else cosine


def _row(target: str, init: str, pairs: list[Pair]) -> tuple[Value | Message, ...]:
    errors = (statistics.fmean(getattr(pair, name).test for pair in pairs) for name in ("tanh", "relu"))
    gains = [pair.gain for pair in pairs]
    ratios = (10**number for number in (statistics.fmean(gains), *t_interval(gains)))
    return T(f"target.{target}"), T(f"init.{init}"), *errors, *ratios


def _panel(target: str, pairs: list[Pair]) -> Panel:
    curves = tuple(_losses(name, [getattr(pair, name) for pair in pairs]) for name in ("tanh", "relu"))
    return Panel(T(f"target.{target}"), T.axis("step"), T.axis("loss", log10=True), curves)


def _losses(name: str, runs: list[Trained]) -> Curve:
    """log₁₀ of the loss by step, means over seeds and neighbouring steps with intervals over seeds."""
    by_seed = torch.tensor([run.losses for run in runs]).reshape(len(runs), -1, SMOOTH).mean(2).log10()
    low, high = zip(*(t_interval(row) for row in by_seed.T.tolist()), strict=True)
    return T.curve(name, range(SMOOTH, STEPS + 1, SMOOTH), by_seed.mean(0).tolist(), low=low, high=high)


LESSON = Lesson("hidden-relu-output-tanh", experiment, seconds=15.0)
