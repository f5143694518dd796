"""N(0, 0.01²) lets activations shrink to nothing, N(0, 1) drives them to the ends: five layers, and ten.

The experiment of Saito 2016, "Deep Learning from Scratch", chapter 6.2 (1000 samples of N(0, 1), five layers of 100),
and the ten layers of 500 tanh of Stanford's CS231n. What is measured is held against the mean-field length map (Poole
et al. 2016, arXiv:1606.05340) and against the spreads that the book's own script gives.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.api import check
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10, table
from headwater.lessons.networks import chain
from headwater.records.picture import Axis, Curve, Panel, Picture
from headwater.theory import length_trajectory, variance

LAYERS, WIDTH = 5, 100
DEEP, WIDE = 10, 500  # of CS231n
SAMPLES = 256
SEEDS = tuple(range(20))  # the spread of one sigmoid network of 100 units varies by 8 % from seed to seed
DEEP_SEEDS = SEEDS[:5]
TOLERANCE = 0.05
STUCK = 0.95  # of tanh beyond ±0.95, of the sigmoid outside [0.05, 0.95]
HISTOGRAM_LAYERS = (1, 3, 5)
BINS = 30
SMALL, ONE = 0.01, 1.0
INITS = {"one": ("init.normal_one", ONE), "small": ("init.normal_small", SMALL)}
BOOK_SPREADS = (0.459, 0.438, 0.440, 0.438, 0.440)
"""Sigmoid, N(0, 1): what the book's script gives at each layer, means of three seeds."""
T = Texts("naive-init")


@dataclass(frozen=True)
class Activations:
    """What one network's activations are at each layer.

    Attributes:
        spread: Standard deviation over units and samples.
        mean: Mean.
        rms: Root mean square.
        values: All of them.
    """

    spread: tuple[float, ...]
    mean: tuple[float, ...]
    rms: tuple[float, ...]
    values: tuple[Tensor, ...]


def activations(activation: str, init: str, layers: int, width: int, seed: int, samples: int = SAMPLES) -> Activations:
    """A chain with an activation after every layer, on inputs of N(0, 1)."""
    model = chain([width] * (layers + 1), activation, init, seed=seed, output=activation)
    x = torch.randn(samples, width, generator=torch.Generator().manual_seed(1000 + seed))
    flow = check(model, x, lambda model, x: model(x).square().mean()).flow
    rows = [row.activation for row in flow.sites if row.site.kind == "activation"]
    spread, mean, rms = zip(*((_known(row.std), _known(row.mean), _known(row.rms)) for row in rows), strict=True)
    return Activations(spread, mean, rms, _values(model, x))


def expected_spreads(activation: str, layers: int, sigma_w2: float) -> list[float]:
    """What the length map says the spread of a wide layer's activations is, for inputs of variance 1."""
    lengths = length_trajectory(activation, layers, sigma_w2, q=sigma_w2)[:layers]
    return [math.sqrt(variance(activation, float(q))) for q in lengths]


def over_networks(rows: Sequence[Sequence[float]]) -> list[float]:
    """Means over networks, layer by layer."""
    return [statistics.fmean(row) for row in zip(*rows, strict=True)]


def furthest(measured: Sequence[float], reference: Sequence[float]) -> float:
    """Of the ratios of two rows the one that is furthest from 1."""
    ratios = [a / b for a, b in zip(measured, reference, strict=True)]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def histograms(
    t: Texts, name: str, values: Sequence[Tensor], low: float, high: float, layers: Sequence[int] = HISTOGRAM_LAYERS
) -> tuple[Panel, ...]:
    """A panel per layer: the share of activations in each of 30 bins."""
    return tuple(_histogram(t, name, layer, values[layer - 1], low, high) for layer in layers)


def spread_over_inputs(values: Tensor) -> float:
    """How far a unit's output is from its own mean over the inputs, rms over units: what is left to tell them apart."""
    return float((values - values.mean(0)).double().square().mean().sqrt())


def factor_per_layer(levels: Sequence[float]) -> float:
    """What a layer multiplies by, from the first to the last."""
    return (levels[-1] / levels[0]) ** (1 / (len(levels) - 1))


def experiment() -> Outcome:
    """Both initialisations before sigmoid, tanh and ReLU."""
    nets = {
        (phi, name): [activations(phi, remedy, LAYERS, WIDTH, seed) for seed in SEEDS]
        for phi in ("sigmoid", "tanh", "relu")
        for name, (remedy, _) in INITS.items()
    }
    deep = [activations("tanh", "init.normal_small", DEEP, WIDE, seed).spread for seed in DEEP_SEEDS]
    spreads = {key: over_networks([net.spread for net in row]) for key, row in nets.items()}
    theory = {(phi, name): expected_spreads(phi, LAYERS, WIDTH * INITS[name][1] ** 2) for phi, name in nets}
    deep_spreads, deep_theory = over_networks(deep), expected_spreads("tanh", DEEP, WIDE * SMALL**2)
    stuck = {p: over_networks([_stuck(p, net) for net in nets[p, "one"]]) for p in ("sigmoid", "tanh")}
    factors = {name: statistics.fmean(factor_per_layer(net.rms) for net in nets["relu", name]) for name in INITS}
    expected = {name: std * math.sqrt(WIDTH / 2) for name, (_, std) in INITS.items()}
    low, high = 1 - TOLERANCE, 1 + TOLERANCE
    checks = (
        T.within("book", furthest(spreads["sigmoid", "one"], BOOK_SPREADS), low, high),
        *(T.within(f"stuck_{p}", furthest(row, _expected_stuck(p)), low, high) for p, row in stuck.items()),
        *(T.within(f"{p}_{n}", furthest(spreads[p, n], theory[p, n]), low, high) for p, n in nets if p != "relu"),
        T.within("deep", furthest(deep_spreads, deep_theory), low, high),
        *(T.within(f"relu_{n}", factors[n] / expected[n], low, high) for n in INITS),
    )
    values = {
        "layers": LAYERS,
        "deep": DEEP,
        "stuck": 100 * stuck["sigmoid"][-1],
        "stuck_tanh": 100 * stuck["tanh"][-1],
        "sigmoid_small": spreads["sigmoid", "small"][-1],
        "sigmoid_apart": statistics.fmean(spread_over_inputs(net.values[-1]) for net in nets["sigmoid", "small"]),
        "tanh_small": spreads["tanh", "small"][-1],
        "deep_small": deep_spreads[-1],
        "relu_small": factors["small"],
        "relu_one": factors["one"],
        "relu_one_last": spreads["relu", "one"][-1],
    }
    columns = (T("column.activation"), T("column.init"), *(T("column.layer", layer=i + 1) for i in range(LAYERS)))
    rows = tuple((T(f"curve.{p}"), T(f"init.{n}"), *spreads[p, n]) for p, n in nets)
    return Outcome(
        checks,
        values,
        (
            _sigmoid_picture(nets),
            Picture(T("summary.spread", **values), tuple(_spread(n, spreads, theory) for n in INITS)),
        ),
        (table(T("table"), columns, rows),),
        SEEDS,
    )


def _known(number: float | None) -> float:
    return math.nan if number is None else number


def _values(model: nn.Sequential, x: Tensor) -> tuple[Tensor, ...]:
    """Outputs of every activation."""
    found = []
    with torch.no_grad():
        for module in model:
            x = module(x)
            if not isinstance(module, nn.Linear):
                found.append(x)
    return tuple(found)


def _stuck(activation: str, net: Activations) -> list[float]:
    """Share of outputs at the ends, by layer."""
    middle, reach = (0.0, STUCK) if activation == "tanh" else (0.5, STUCK - 0.5)
    return [float(((values - middle).abs() > reach).double().mean()) for values in net.values]


def _expected_stuck(activation: str) -> list[float]:
    """The same share where the pre-activations are normal with the variances of the length map."""
    end = math.atanh(STUCK) if activation == "tanh" else math.log(STUCK / (1 - STUCK))
    lengths = length_trajectory(activation, LAYERS, WIDTH * ONE**2, q=WIDTH * ONE**2)[:LAYERS]
    return [math.erfc(end / math.sqrt(2 * q)) for q in lengths]


def _histogram(t: Texts, name: str, layer: int, values: Tensor, low: float, high: float) -> Panel:
    counts = torch.histc(values, bins=BINS, min=low, max=high)
    width = (high - low) / BINS
    middles = [low + (i + 0.5) * width for i in range(BINS)]
    curve = t.curve("histogram", middles, (counts / values.numel()).tolist(), bars=True)
    x, y = t.axis("value", low=low, high=high), t.axis("share", low=0.0)
    return Panel(t(f"panel.{name}", layer=layer), x, y, (curve,))


def _sigmoid_picture(nets: dict[tuple[str, str], list[Activations]]) -> Picture:
    panels = [panel for name in INITS for panel in histograms(T, name, nets["sigmoid", name][0].values, 0.0, 1.0)]
    return Picture(T("summary.histograms"), tuple(panels))


def _spread(
    name: str, spreads: dict[tuple[str, str], list[float]], theory: dict[tuple[str, str], list[float]]
) -> Panel:
    """Spread by layer, three activations and what theory says of each."""
    layers = range(1, LAYERS + 1)
    curves: list[Curve] = []
    for phi in ("sigmoid", "tanh", "relu"):
        curves.append(T.curve(f"theory_{phi}", layers, [log10(v) for v in theory[phi, name]], reference=True))
        curves.append(T.curve(phi, layers, [log10(v) for v in spreads[phi, name]], points=True))
    return Panel(T(f"init.{name}"), T.axis("layer"), Axis(T("axis.spread"), "log10"), tuple(curves))


LESSON = Lesson("naive-init", experiment, seconds=3.0)
