"""The loss is not convex: between two minima it rises.

A convex function lies below every chord. The barrier on the line between two trained nets is how far the loss rises
above its chord (Frankle et al. 2020, arXiv:1912.05671). Exchanging hidden units gives the same function at another
place, so that every minimum has copies; undoing that exchange (Entezari et al. 2022, arXiv:2110.06296; Ainsworth et al.
2023, arXiv:2209.04836) takes most of the barrier away. The slice follows Li et al. 2018, arXiv:1712.09913: random
directions with each unit's weights scaled to their own norm, biases left alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, linear
from headwater.lessons.training import adam, train
from headwater.records.picture import Axis, Curve, Panel, Picture, Raster, Table
from headwater.remedies.proof import t_interval

WIDTH = 32
STEPS = 400
SEEDS = tuple(range(10))
PAIRS = tuple(zip(SEEDS[::2], SEEDS[1::2], strict=True))
PLACES = 21  # on a line
SPAN, CELLS = 1.5, 25  # of the slice, in units of the weights' own norms
MARGIN = 0.35  # around the minima in their plane, in distances between them
SAME = 1e-5

Line = tuple[float, ...]


def experiment() -> Outcome:
    """Lines between trained nets, between a net and its own copy, a slice around one and the plane of three."""
    t = Texts("loss-landscape")
    data = digits()
    untrained, nets = chain([64, WIDTH, 10], "relu", seed=SEEDS[0]), [_trained(data, seed) for seed in SEEDS]
    pairs = [(nets[a], nets[b]) for a, b in PAIRS]
    copies = [
        _exchanged(a, torch.randperm(WIDTH, generator=torch.Generator().manual_seed(s))) for s, a in enumerate(nets)
    ]
    lines = {
        "between": [_along(data, a, b) for a, b in pairs],
        "copy": [_along(data, nets[a], copies[a]) for a, _ in PAIRS],
        "matched": [_along(data, a, _exchanged(b, _matching(a, b))) for a, b in pairs],
    }
    barriers = {name: [_barrier(line) for line in found] for name, found in lines.items()}
    copy_apart = max(abs(line[-1] - line[0]) for line in lines["copy"])
    left = [1 - after / before for before, after in zip(barriers["between"], barriers["matched"], strict=True)]
    slice_, raster = _slice(t, data, nets[0])
    checks = (
        t.over_seeds("between", barriers["between"], low=0.0),
        t.within("same", copy_apart, high=SAME),
        t.over_seeds("copy", barriers["copy"], low=0.0),
        t.over_seeds("matched", left, low=0.0),
        t.within("bowl", float(slice_[CELLS // 2, CELLS // 2] - slice_.min()), 0.0, 0.0),
    )
    mean = statistics.fmean
    values = {
        "end": mean([line[0] for line in lines["between"]]),
        "top": mean([max(line) for line in lines["between"]]),
        "barrier": mean(barriers["between"]),
        "copy": mean(barriers["copy"]),
        "matched": mean(barriers["matched"]),
        "pairs": len(PAIRS),
        "gradient_before": _gradient(untrained, data),
        "gradient_after": _gradient(nets[0], data),
        "slice": _above_chords(slice_),
    }
    panels = (
        Panel(t("panel.lines"), Axis(t("axis.way")), t.axis("loss", low=0.0), tuple(_curves(t, lines))),
        _plane(t, data, nets[:3]),
        raster,
    )
    columns = tuple(t(f"column.{name}") for name in ("pair", "between", "copy", "matched"))
    rows = zip([f"{a}, {b}" for a, b in PAIRS], *(barriers[name] for name in lines), strict=True)
    table = Table(t("table"), columns, tuple(rows))
    return Outcome(checks, values, (Picture(t("summary", **values), panels),), (table,), SEEDS)


def _trained(data: Split, seed: int) -> nn.Sequential:
    model = chain([64, WIDTH, 10], "relu", seed=seed)
    train(model, data, steps=STEPS, optimizer=adam(3e-3), seed=seed)
    return model


def _loss(data: Split, model: nn.Module) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(data.x), data.y))


def _at(model: nn.Sequential) -> Callable[[Tensor], nn.Sequential]:
    """A net of this shape at any place of weight space."""
    moved = deepcopy(model)

    def put(place: Tensor) -> nn.Sequential:
        vector_to_parameters(place, moved.parameters())
        return moved

    return put


def _place(model: nn.Module) -> Tensor:
    return parameters_to_vector(model.parameters()).detach()


def _along(data: Split, start: nn.Sequential, end: nn.Sequential) -> Line:
    """The loss at equal steps of the straight line from one net to another."""
    put, a, b = _at(start), _place(start), _place(end)
    return tuple(_loss(data, put(torch.lerp(a, b, float(share)))) for share in np.linspace(0.0, 1.0, PLACES))


def _barrier(line: Line) -> float:
    """How far the loss rises above the chord between its ends; of a convex loss, nowhere."""
    chord = np.linspace(line[0], line[-1], len(line))
    return float((np.array(line) - chord).max())


def _exchanged(model: nn.Sequential, order: Tensor) -> nn.Sequential:
    """The same function with its hidden units in another order."""
    other = deepcopy(model)
    with torch.no_grad():
        linear(other, 0).weight.copy_(linear(model, 0).weight[order])
        linear(other, 0).bias.copy_(linear(model, 0).bias[order])
        linear(other, 2).weight.copy_(linear(model, 2).weight[:, order])
    return other


def _matching(one: nn.Sequential, other: nn.Sequential) -> Tensor:
    """The order of the other's hidden units that brings its weights nearest to the first's."""
    units = [
        torch.cat([linear(net, 0).weight, linear(net, 0).bias.unsqueeze(1), linear(net, 2).weight.T], 1).detach()
        for net in (one, other)
    ]
    _, order = linear_sum_assignment((units[0] @ units[1].T).numpy(), maximize=True)
    return torch.tensor(order)


def _gradient(model: nn.Module, data: Split) -> float:
    """Norm of the whole gradient, as the probes measure it."""
    flow = check(model, (data.x, data.y), cross_entropy).flow
    return math.hypot(*(row.grad_norm or 0.0 for row in flow.parameters))


def unit_directions(model: nn.Module, seed: int) -> Tensor:
    """A random direction with every unit's weights, or every kernel's, as long as they are in the model."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for parameter in model.parameters():
        part = torch.zeros_like(parameter)
        if parameter.dim() > 1:
            part = torch.randn(parameter.shape, generator=generator)
            lengths = [tensor.flatten(1).norm(dim=1) for tensor in (parameter.detach(), part)]
            part *= (lengths[0] / lengths[1]).reshape(-1, *[1] * (part.dim() - 1))
        parts.append(part.flatten())
    return torch.cat(parts)


def _losses(
    data: Split, model: nn.Sequential, origin: Tensor, directions: tuple[Tensor, Tensor], xs: Line, ys: Line
) -> np.ndarray:
    """The loss over a rectangle of a plane in weight space, the lowest row first."""
    put, (right, up) = _at(model), directions
    return np.array([[_loss(data, put(origin + x * right + y * up)) for x in xs] for y in ys])


def _raster(t: Texts, losses: np.ndarray, xs: Line, ys: Line) -> Raster:
    rows = tuple(tuple(log10(float(value)) for value in row) for row in losses)
    return Raster((xs[0], xs[-1]), (ys[0], ys[-1]), rows, t("raster"))


def _slice(t: Texts, data: Split, model: nn.Sequential) -> tuple[np.ndarray, Panel]:
    """The surroundings of one net along two directions."""
    side = tuple(np.linspace(-SPAN, SPAN, CELLS).tolist())
    directions = (unit_directions(model, 0), unit_directions(model, 1))
    losses = _losses(data, model, _place(model), directions, side, side)
    here = t.curve("minimum", [0.0], [0.0], points=True)
    axes = Axis(t("axis.first_direction")), Axis(t("axis.second_direction"))
    return losses, Panel(t("panel.slice"), *axes, (here,), _raster(t, losses, side, side))


def _plane(t: Texts, data: Split, nets: Sequence[nn.Sequential]) -> Panel:
    """The plane through three nets, in units of the distance between the first two."""
    origin, second, third = (_place(net) for net in nets)
    right = second - origin
    x = float((third - origin) @ right / (right @ right))
    up = third - origin - x * right
    up *= right.norm() / up.norm()
    y = float((third - origin) @ up / (up @ up))
    xs = tuple(np.linspace(min(0.0, x) - MARGIN, max(1.0, x) + MARGIN, CELLS).tolist())
    ys = tuple(np.linspace(-MARGIN, y + MARGIN, CELLS).tolist())
    losses = _losses(data, nets[0], origin, (right, up), xs, ys)
    points = t.curve("minima", [0.0, 1.0, x], [0.0, 0.0, y], points=True)
    axes = Axis(t("axis.first_direction")), Axis(t("axis.second_direction"))
    return Panel(t("panel.plane"), *axes, (points,), _raster(t, losses, xs, ys))


def _above_chords(losses: np.ndarray) -> float:
    """How far the loss rises above chords between cells of a row or a column, at most; of a bowl, nowhere."""
    spans = [(start, end) for start in range(CELLS) for end in range(start + 2, CELLS, 2)]
    lines = (*losses, *losses.T)
    rises = [line[(start + end) // 2] - (line[start] + line[end]) / 2 for line in lines for start, end in spans]
    return float(max(0.0, *rises))


def _curves(t: Texts, lines: dict[str, list[Line]]) -> Iterator[Curve]:
    """The loss along the lines: mean over the pairs and interval."""
    ways = np.linspace(0.0, 1.0, PLACES).tolist()
    for name, found in lines.items():
        at_each = list(zip(*found, strict=True))
        lows, highs = zip(*(t_interval(values) for values in at_each), strict=True)
        yield t.curve(name, ways, [statistics.fmean(values) for values in at_each], low=lows, high=highs)


LESSON = Lesson("loss-landscape", experiment, seconds=6.0)
