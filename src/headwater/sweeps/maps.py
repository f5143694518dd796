"""Maps of a sweep: a value over two of its axes, a panel for each choice of the others, and theory's line."""

from __future__ import annotations

import inspect
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

from headwater.records import InputError, Message
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, Panel, Picture, Raster
from headwater.records.sweep import Setting, SweepTrial
from headwater.remedies.proof import t_interval
from headwater.sweeps.network import plain_network
from headwater.sweeps.spec import PLAIN_NETWORK, SweepSpec
from headwater.theory import trainable_depth

MOST_PANELS = 6
_FINE = 96  # cells along an axis whose values are not evenly spaced
_LINE = 41  # points of theory's line
_EVEN = 0.02  # of the mean step, by which steps may differ and count as even
_SPREADS = ("sigma_w", "sigma_b")

Reading = Callable[[SweepTrial], float | None]


@dataclass(frozen=True)
class Layout:
    """Which axis goes where.

    Attributes:
        x: To the right, ``None`` without an axis of numbers.
        y: Upwards, ``None`` with one axis of numbers.
        panels: Settings of each panel.
    """

    x: str | None
    y: str | None
    panels: tuple[Mapping[str, Setting], ...]


def layout(spec: SweepSpec) -> Layout:
    """``depth`` goes upwards, the next axis of numbers to the right, and each choice of the others gets a panel."""
    numeric = [name for name, values in spec.axes.items() if len(values) > 1 and not isinstance(values[0], (str, bool))]
    numeric.sort(key=lambda name: name != "depth")
    y, x = (numeric[0], numeric[1]) if len(numeric) > 1 else (None, numeric[0] if numeric else None)
    others = [name for name in spec.axes if name not in (x, y)]
    choices = product(*(spec.axes[name] for name in others))
    return Layout(x, y, tuple(dict(zip(others, choice, strict=True)) for choice in choices))


def pictures(spec: SweepSpec, trials: Sequence[SweepTrial], metric_name: str) -> tuple[Picture, ...]:
    """What came out after training, and the gradient that reached the first layer before it."""
    places = layout(spec)
    if places.x is None or not trials:
        return ()
    after = _picture(spec, places, trials, _Shown("metric", lambda trial: trial.metric, metric_name))
    before = _picture(spec, places, trials, _Shown("gradient", lambda trial: trial.gradient_decades, metric_name))
    known = any(trial.gradient_decades is not None for trial in trials)
    return (after, before) if known else (after,)


def agreement(spec: SweepSpec, trials: Sequence[SweepTrial]) -> tuple[float, int] | None:
    """The share of points that are on the side of theory's line where they are found, and how many points there are.

    A point counts as trained if its mean metric is nearer to the best of the sweep than to what untrained networks
    have; theory says so up to a depth of 6 ξ_c. ``None`` without theory, or where nothing was learnt anywhere.
    """
    by_point: dict[tuple[tuple[str, Setting], ...], list[SweepTrial]] = {}
    for trial in trials:
        by_point.setdefault(tuple(sorted(trial.point.items())), []).append(trial)
    untrained = [trial.untrained for trial in trials if math.isfinite(trial.untrained)]
    found = {point: _mean(trial.metric for trial in of_point) for point, of_point in by_point.items()}
    best = max((value for value in found.values() if math.isfinite(value)), default=math.nan)
    if not untrained or math.isnan(best) or best <= statistics.fmean(untrained):
        return None
    mark = (best + statistics.fmean(untrained)) / 2
    sides = []
    for point, value in found.items():
        settings = {**_defaults(spec), **dict(point)}
        reach = _reach(spec, settings)
        if reach is not None and math.isfinite(value):
            sides.append((float(settings["depth"]) <= reach) == (value >= mark))
    return (sum(sides) / len(sides), len(sides)) if sides else None


@dataclass(frozen=True)
class _Shown:
    """What of each training a picture shows, and the name of the metric."""

    kind: str
    value: Reading
    metric_name: str

    @property
    def label(self) -> Message:
        return Message(f"sweep.value_{self.kind}", {"metric": self.metric_name})


def _picture(spec: SweepSpec, places: Layout, trials: Sequence[SweepTrial], shown: _Shown) -> Picture:
    draw = _curve_panel if places.y is None else _map_panel
    panels = tuple(draw(spec, places, choice, trials, shown) for choice in places.panels[:MOST_PANELS])
    known = [number for trial in trials if (number := shown.value(trial)) is not None and math.isfinite(number)]
    values: dict[str, Value] = {
        "metric": shown.metric_name,
        "low": min(known, default=math.nan),
        "high": max(known, default=math.nan),
        "points": math.prod(map(len, spec.axes.values())),
    }
    return Picture(Message(f"sweep.picture_{shown.kind}", values), panels)


def _map_panel(
    spec: SweepSpec, places: Layout, choice: Mapping[str, Setting], trials: Sequence[SweepTrial], shown: _Shown
) -> Panel:
    assert places.x is not None
    assert places.y is not None
    x, y = Spacing.of(spec.axes[places.x]), Spacing.of(spec.axes[places.y])
    cells = {
        (a, b): _mean(_values(trials, {**choice, places.x: a, places.y: b}, shown.value))
        for a in spec.axes[places.x]
        for b in spec.axes[places.y]
    }
    rows = tuple(tuple(cells[a, b] for a in x.spread) for b in y.spread)
    curves = _theory(spec, places, choice, x, y) if shown.kind == "metric" else ()
    raster = Raster(x.ends, y.ends, rows, shown.label)
    return Panel(_title(choice), x.axis(places.x), y.axis(places.y), curves, raster)


def _curve_panel(
    spec: SweepSpec, places: Layout, choice: Mapping[str, Setting], trials: Sequence[SweepTrial], shown: _Shown
) -> Panel:
    assert places.x is not None
    spacing = Spacing.of(spec.axes[places.x])
    found = [_values(trials, {**choice, places.x: a}, shown.value) for a in spacing.values]
    several = spec.seeds > 1 and all(len(values) > 1 for values in found)
    intervals = [t_interval(values) for values in found] if several else []
    curve = Curve(
        shown.label,
        tuple(spacing.places),
        tuple(_mean(values) for values in found),
        low=tuple(low for low, _ in intervals),
        high=tuple(high for _, high in intervals),
    )
    return Panel(_title(choice), spacing.axis(places.x), Axis(shown.label), (curve,))


def _theory(
    spec: SweepSpec, places: Layout, choice: Mapping[str, Setting], x: Spacing, y: Spacing
) -> tuple[Curve, ...]:
    """The depth up to which theory says that a network trains, where one axis is depth and the other σ."""
    if places.y != "depth" or places.x not in _SPREADS:
        return ()
    line = [x.ends[0] + i / (_LINE - 1) * (x.ends[1] - x.ends[0]) for i in range(_LINE)]
    reaches = [_reach(spec, {**_defaults(spec), **choice, places.x: x.number(at)}) for at in line]
    if all(reach is None for reach in reaches):
        return ()
    heights = [y.place(reach) if reach else math.nan for reach in reaches]
    inside = [at if y.ends[0] <= at <= y.ends[1] else math.nan for at in heights]
    if not any(math.isfinite(at) for at in inside):
        return ()
    return (Curve(Message("sweep.theory_line"), tuple(line), tuple(inside), is_reference=True),)


def _reach(spec: SweepSpec, settings: Mapping[str, Setting]) -> float | None:
    """Hidden layers up to which theory says that the plain network trains."""
    if spec.experiment != PLAIN_NETWORK:
        return None
    return _trainable(str(settings["activation"]), float(settings["sigma_w"]), float(settings["sigma_b"]))


@lru_cache(maxsize=4096)
def _trainable(phi: str, sigma_w: float, sigma_b: float) -> float | None:
    try:
        return trainable_depth(phi, sigma_w**2, sigma_b**2)
    except InputError:  # no variance at all: no signal, and no scale
        return None


def _defaults(spec: SweepSpec) -> dict[str, Setting]:
    if spec.experiment != PLAIN_NETWORK:
        return {}
    given = {name: parameter.default for name, parameter in inspect.signature(plain_network).parameters.items()}
    return {**given, **(spec.fixed or {})}


@dataclass(frozen=True)
class Spacing:
    """Where the values of an axis stand.

    Attributes:
        values: From the least to the largest.
        is_log: Whether places are their logarithms: where they multiply rather than add.
    """

    values: tuple[Setting, ...]
    is_log: bool

    @staticmethod
    def of(values: Iterable[Setting]) -> Spacing:
        """On the scale on which they are spaced more evenly."""
        ordered = tuple(sorted(values, key=lambda value: float(value)))
        numbers = [float(value) for value in ordered]
        if numbers[0] <= 0 or len(numbers) < 3:
            return Spacing(ordered, False)
        return Spacing(ordered, _unevenness([math.log10(n) for n in numbers]) < _unevenness(numbers))

    @property
    def places(self) -> list[float]:
        """Of each value."""
        return [self.place(float(value)) for value in self.values]

    def place(self, number: float) -> float:
        return math.log10(number) if self.is_log else number

    def number(self, place: float) -> float:
        return 10.0**place if self.is_log else place

    @property
    def ends(self) -> tuple[float, float]:
        """Where the cells of the outermost values end."""
        places = self.places
        return places[0] - (places[1] - places[0]) / 2, places[-1] + (places[-1] - places[-2]) / 2

    @property
    def spread(self) -> list[Setting]:
        """The value of each of evenly spaced cells: of the values themselves, or of many fine ones."""
        if _unevenness(self.places) <= _EVEN:
            return list(self.values)
        (low, high), places = self.ends, self.places
        borders = [(a + b) / 2 for a, b in pairwise(places)]
        fine = [low + (i + 0.5) / _FINE * (high - low) for i in range(_FINE)]
        return [self.values[sum(at > border for border in borders)] for at in fine]

    def axis(self, name: str) -> Axis:
        """The axis, from end to end."""
        low, high = self.ends
        return Axis(Message("sweep.setting", {"name": name}), "log10" if self.is_log else "linear", low, high)


def _unevenness(places: Sequence[float]) -> float:
    """How far steps are from their mean, of the mean."""
    steps = [b - a for a, b in pairwise(places)]
    mean = statistics.fmean(steps)
    return max(abs(step - mean) for step in steps) / mean if mean else math.inf


def _title(choice: Mapping[str, Setting]) -> Message:
    if not choice:
        return Message("sweep.all")
    return Message("sweep.choice", {"choice": ", ".join(f"{name} {value}" for name, value in choice.items())})


def _values(trials: Iterable[SweepTrial], point: Mapping[str, Setting], value: Reading) -> list[float]:
    found = [value(trial) for trial in trials if all(trial.point.get(name) == at for name, at in point.items())]
    return [number for number in found if number is not None]


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.fmean(known) if known else math.nan
