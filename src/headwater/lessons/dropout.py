"""Dropout turns random units off while training and leaves all of them on afterwards; what is off gets no gradient.

First the mechanism, in a network of tanh units, whose values are never exactly 0 unless they were dropped: masks step
by step, gradients of one sample, and the mean over many masks against evaluation. Then the overfitting network with it
(Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
overfitting", whose scaling is the other way round).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.api import apply, check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, deep
from headwater.lessons.overfitting import HIDDEN_LAYERS, SEEDS, WIDTH, fitted, less, means, over_seeds_curve
from headwater.lessons.training import Trained, sgd, train
from headwater.records.message import Value
from headwater.records.picture import Axis, Panel, Picture, Raster, Table

HALF = 0.5
MILD = 0.2  # Saito 2016, "Deep Learning from Scratch", chapter 6.4
MASKED_STEPS = 12
SAMPLES = 256
MASKS = 4000
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class _Pass:
    """What one dropout did in one forward pass.

    Attributes:
        before: Values that came in; its gradient is kept.
        after: Values that went out.
    """

    before: Tensor
    after: Tensor

    @property
    def dropped(self) -> Tensor:
        """Which values were set to zero."""
        return (self.after.detach() == 0) & (self.before.detach() != 0)


def experiment() -> Outcome:
    """The mechanism, then what it does to overfitting."""
    t = Texts("dropout")
    data = digits()
    masks = _masks(data)
    off, blocked, passed = _gradients(data)
    kept, kept_error = _kept(data, slice(0, 3))  # as far as the next affine map
    kept_to_the_end, _ = _kept(data, slice(None))
    share, share_error = _share_off(data)
    runs = {p: [_regularised(data, p, seed) for seed in SEEDS] for p in (0.0, MILD, HALF)}
    gaps = {p: [run.gap for run in those] for p, those in runs.items()}
    checks = (
        t.within("masks", _most_alike(masks), high=1 - 1 / WIDTH),
        t.within("share", (share - HALF) / share_error, -STANDARD_ERRORS, STANDARD_ERRORS),
        t.within("blocked", blocked, 0.0, 0.0),
        t.true("passed", passed > 0),
        t.within("kept", (kept - 1) / kept_error, -STANDARD_ERRORS, STANDARD_ERRORS),
        t.over_seeds("gap", less(gaps[0.0], gaps[MILD]), low=0.0),
    )
    values: dict[str, Value] = {
        "steps": MASKED_STEPS,
        "alike": 100 * _most_alike(masks),
        "off": off,
        "width": WIDTH,
        "masks": MASKS,
        "kept": kept,
        "kept_error": kept_error,
        "kept_to_the_end": kept_to_the_end,
        "p": MILD,
        "half": HALF,
    }
    for name, those in zip(("none", "mild", "half"), runs.values(), strict=True):
        parts = zip(("train", "test", "gap"), means(those), strict=True)
        values |= {f"{part}_{name}": 100 * share for part, share in parts}
    picture = Picture(t("summary", **values), _panels(t, masks, runs))
    columns = tuple(t(f"column.{key}") for key in ("p", "train", "test", "gap"))
    table = Table(t("table"), columns, tuple((p, *means(those)) for p, those in runs.items()))
    return Outcome(checks, values, (picture,), (table,), SEEDS)


def _panels(t: Texts, masks: Tensor, runs: dict[float, list[Trained]]) -> tuple[Panel, ...]:
    """Which units are on step by step, and accuracy by p."""
    rows = tuple(tuple(float(on) for on in row) for row in ~masks)
    raster = Raster((0.0, float(WIDTH)), (0.0, float(MASKED_STEPS)), rows, t("raster"))
    accuracies = (
        over_seeds_curve(t, "train", list(runs), [[run.train for run in those] for those in runs.values()]),
        over_seeds_curve(t, "test", list(runs), [[run.test for run in those] for those in runs.values()]),
    )
    return (
        Panel(t("panel.masks"), Axis(t("axis.unit")), t.axis("step"), raster=raster),
        Panel(t("panel.accuracy"), Axis(t("axis.p")), t.axis("accuracy", low=0.0, high=1.0), accuracies),
    )


def _regularised(data: Split, p: float, seed: int) -> Trained:
    """The overfitting network with a dropout of p behind each hidden activation."""
    return fitted(data, seed, f"regularisation.dropout:{p!r}" if p else None)[1]


def _network() -> nn.Module:
    """Six hidden layers of 100 tanh units, half of them dropped at a time."""
    torch.manual_seed(0)
    return apply(chain(deep(HIDDEN_LAYERS + 1, WIDTH), "tanh", "init.xavier"), f"regularisation.dropout:{HALF!r}")


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Pass]]:
    """What each dropout does, in the order they run."""
    passes: list[_Pass] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs[0].requires_grad:
            inputs[0].retain_grad()
        passes.append(_Pass(inputs[0], output))

    handles = [part.register_forward_hook(note) for part in model.modules() if isinstance(part, nn.Dropout)]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def _masks(data: Split) -> Tensor:
    """Which units of the first hidden layer are off, (steps, units), while one sample is trained on."""
    model = _network()
    one = Split(data.x[:1], data.y[:1], data.test_x, data.test_y)
    with _recorded(model) as passes:
        train(model, one, steps=MASKED_STEPS, optimizer=sgd(0.01))
    return torch.cat([first.dropped for first in passes[: HIDDEN_LAYERS * MASKED_STEPS : HIDDEN_LAYERS]])


def _most_alike(masks: Tensor) -> float:
    """Share of units on which the two most similar masks agree."""
    agree = [(a == b).double().mean() for i, a in enumerate(masks) for b in masks[:i]]
    return float(torch.stack(agree).max())


def _gradients(data: Split) -> tuple[int, float, float]:
    """Of one sample: units dropped, the largest gradient at and into those, the smallest at those that were kept."""
    model = _network().train()
    with _recorded(model) as passes:
        cross_entropy(model, (data.x[:1], data.y[:1])).backward()
    layers = [part for part in model.modules() if isinstance(part, nn.Linear)]
    off, blocked, passed = 0, 0.0, math.inf
    for layer, one in zip(layers[:-1], passes, strict=True):
        at, into = one.before.grad, layer.weight.grad
        assert at is not None
        assert into is not None
        dropped = one.dropped[0]
        off += int(dropped.sum())
        blocked = max(blocked, float(at[0, dropped].abs().max()), float(into[dropped].abs().max()))
        passed = min(passed, float(at[0, ~dropped].abs().min()))
    return off, blocked, passed


def _share_off(data: Split) -> tuple[float, float]:
    """Share of values that the probes find to be zero behind the dropouts, and its standard error."""
    flow = check(_network().train(), (data.x[:SAMPLES], data.y[:SAMPLES]), cross_entropy).flow
    behind = [row.activation for row in flow.sites if row.site.op == "Dropout"]
    zeros, count = sum(moments.zero_count for moments in behind), sum(moments.count for moments in behind)
    return zeros / count, math.sqrt(HALF * (1 - HALF) / count)


def _kept(data: Split, part: slice) -> tuple[float, float]:
    """How much of what evaluation gives a mean over masks gives, and its standard error; 1 is all of it.

    Each mask's output is projected on that of evaluation, so that one number stands for all units.
    """
    model = _network()
    assert isinstance(model, nn.Sequential)
    head = model[part]
    torch.manual_seed(1)
    with torch.no_grad():
        target = head.eval()(data.x[:1])
        outputs = head.train()(data.x[:1].expand(MASKS, -1))
    shares = ((outputs * target).sum(1) / target.square().sum()).double()
    return float(shares.mean()), float(shares.std() / MASKS**0.5)


LESSON = Lesson("dropout", experiment, seconds=20.0)
