"""Without activation functions, layers collapse into one affine map, and a line is all they can draw.

Stacks of linear layers on two rings, with nothing or ReLU between the layers. The collapsed map is multiplied out from
the trained weights: W = Wₖ … W₁, b = Wₖ(… (W₂ b₁ + b₂) …) + bₖ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from headwater.lessons.data import Split, breast_cancer, circles
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain
from headwater.lessons.training import adam, train
from headwater.records.picture import Curve, Panel, Picture, Raster, Table
from headwater.remedies.proof import t_interval

SAMPLES = 2000
LAYERS = (1, 2, 5)
WIDTH = 32
STEPS = 150
SEEDS = tuple(range(10))
BETWEEN = {"linear": "identity", "relu": "relu"}
AT_MOST, AT_LEAST = 0.60, 0.95
EXACT = 1e-6
SHOWN_SEED = 0
SPAN, CELLS = 2.2, 56


def experiment() -> Outcome:
    """Both kinds of stack at every number of layers; the deepest is looked at closely."""
    t = Texts("why-nonlinear")
    accuracy, collapse, rasters = _stacks(t)
    means = {key: statistics.fmean(values) for key, values in accuracy.items()}
    deepest = LAYERS[-1]
    checks = (
        t.within("collapse", max(collapse), high=EXACT),
        t.over_seeds("linear", accuracy["linear", deepest], high=AT_MOST),
        t.over_seeds("relu", accuracy["relu", deepest], low=AT_LEAST),
    )
    values = {
        "layers": deepest,
        "linear": 100 * means["linear", deepest],
        "relu": 100 * means["relu", deepest],
        "relu_one": 100 * means["relu", 1],
        "difference": max(collapse),
        "best_line": 100 * _best_line(circles(SAMPLES, seed=SHOWN_SEED)),
        "tumours": 100 * statistics.fmean(_on_tumours(seed) for seed in SEEDS),
    }
    picture = Picture(t("summary", **values), (*_maps(t, rasters), _by_layers(t, accuracy)))
    columns = (t("column.stack"), t("column.layers"), t("column.accuracy"))
    rows = tuple((t(f"curve.{name}"), layers, mean) for (name, layers), mean in means.items())
    return Outcome(checks, values, (picture,), (Table(t("table"), columns, rows),), SEEDS)


def _stacks(t: Texts) -> tuple[dict[tuple[str, int], list[float]], list[float], dict[str, Raster]]:
    """Accuracies of every stack, how far linear ones are from one affine map, and maps of the deepest."""
    accuracy: dict[tuple[str, int], list[float]] = {}
    collapse, rasters = [], {}
    for seed in SEEDS:
        data = circles(SAMPLES, seed=seed)
        for name, between in BETWEEN.items():
            for layers in LAYERS:
                model = chain([2, *[WIDTH] * (layers - 1), 2], between, seed=seed)
                trained = train(model, data, steps=STEPS, optimizer=adam(3e-3), seed=seed)
                accuracy.setdefault((name, layers), []).append(trained.test)
                if name == "linear":
                    collapse.append(_largest_difference(model, data.test_x))
                if layers == LAYERS[-1] and seed == SHOWN_SEED:
                    rasters[name] = _map(t, model)
    return accuracy, collapse, rasters


def _maps(t: Texts, rasters: Mapping[str, Raster]) -> Iterator[Panel]:
    """What the deepest stacks say of the plane, below the points."""
    points = _points(t, circles(SAMPLES, seed=SHOWN_SEED))
    for name in BETWEEN:
        x, y = (t.axis(f"{which}_input", low=-SPAN, high=SPAN) for which in ("first", "second"))
        yield Panel(t(f"panel.{name}", layers=LAYERS[-1]), x, y, points, rasters[name])


def _by_layers(t: Texts, accuracy: Mapping[tuple[str, int], Sequence[float]]) -> Panel:
    """Accuracy over the number of layers, with its interval over the seeds."""
    curves = []
    for name in BETWEEN:
        found = [accuracy[name, layers] for layers in LAYERS]
        lows, highs = zip(*map(t_interval, found), strict=True)
        curves.append(t.curve(name, LAYERS, list(map(statistics.fmean, found)), low=lows, high=highs))
    return Panel(t("panel.layers"), t.axis("depth"), t.axis("accuracy", low=0.0, high=1.05), tuple(curves))


def collapsed(model: nn.Sequential) -> tuple[Tensor, Tensor]:
    """W and b of the one affine map that a stack of linear layers is, multiplied out in float64."""
    first, *others = (layer for layer in model if isinstance(layer, nn.Linear))
    weight, bias = first.weight.detach().double(), first.bias.detach().double()
    for layer in others:
        weight = layer.weight.detach().double() @ weight
        bias = layer.weight.detach().double() @ bias + layer.bias.detach().double()
    return weight, bias


def _largest_difference(model: nn.Sequential, x: Tensor) -> float:
    """Between the stack and its one map, relative to the largest output."""
    weight, bias = collapsed(model)
    with torch.no_grad():
        outputs = model(x).double()
    single = x.double() @ weight.T + bias
    return float((outputs - single).abs().max() / single.abs().max())


def _best_line(data: Split) -> float:
    """The largest share of samples that any straight line tells right: every direction, every place between samples."""
    x, y = torch.cat([data.x, data.test_x]), torch.cat([data.y, data.test_y])
    best = 0.0
    for angle in torch.linspace(0.0, 2 * math.pi, 181)[:-1]:
        order = (x @ torch.stack([angle.cos(), angle.sin()])).argsort()
        right = (2 * y[order] - 1).cumsum(0)  # inner samples less outer ones on this side
        best = max(best, float(right.max() + (y == 0).sum()) / len(y))
    return best


def _on_tumours(seed: int) -> float:
    """Test accuracy of the deepest linear stack where a plane through the inputs is enough."""
    data = breast_cancer(seed)
    model = chain([data.x.shape[1], *[WIDTH] * (LAYERS[-1] - 1), 2], BETWEEN["linear"], seed=seed)
    return train(model, data, steps=STEPS, seed=seed).test


def _map(t: Texts, model: nn.Module) -> Raster:
    """The probability of the inner ring for each place of the plane."""
    side = torch.linspace(-SPAN, SPAN, CELLS)
    y, x = torch.meshgrid(side, side, indexing="ij")
    with torch.no_grad():
        inner = model(torch.stack([x, y], -1)).softmax(-1)[..., 1]
    return Raster((-SPAN, SPAN), (-SPAN, SPAN), tuple(tuple(row) for row in inner.tolist()), t("raster"))


def _points(t: Texts, data: Split, count: int = 150) -> tuple[Curve, ...]:
    """Some of the samples, each ring in its own colour."""
    x, y = data.test_x[:count], data.test_y[:count]
    return tuple(
        t.curve(name, x[y == ring, 0].tolist(), x[y == ring, 1].tolist(), points=True)
        for ring, name in enumerate(("outer", "inner"))
    )


LESSON = Lesson("why-nonlinear", experiment, seconds=4.0)
