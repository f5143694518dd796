"""The proof in pictures: the metric per arm, the effect with its interval, and how training went."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from headwater.records import Arm, Measure, Proof
from headwater.report.markup import Html, join
from headwater.report.numbers import number
from headwater.report.svg import (
    Size,
    cross,
    decade_ticks,
    dot,
    for_all_screens,
    label,
    line,
    linear_ticks,
    picture,
    polyline,
    power_of_ten,
    rect,
    title,
)
from headwater.report.words import Words

ARM_ORDER = ("original", "placebo", "random_remedy", "treated")
ROW = 34
LOSS_HEIGHT = {"wide": 220, "narrow": 200}
MOST_POINTS = 150  # of a curve; more is finer than a screen
BEYOND_ANY_AXIS = 1e150  # differences and squares of such numbers are no numbers any more
LOG_FROM = 30.0  # losses that span more than this factor are drawn on a log axis


@dataclass(frozen=True)
class _Scale:
    """Numbers to places, linear."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def arms(proof: Proof) -> list[Arm]:
    """The arms there are, the treated one last."""
    return sorted(proof.arms, key=lambda arm: ARM_ORDER.index(arm.name) if arm.name in ARM_ORDER else -1)


def drawable(value: float) -> bool:
    """Whether a number has a place on an axis: a run that diverged past any axis counts as broken off."""
    return math.isfinite(value) and abs(value) < BEYOND_ANY_AXIS


def finite(values: tuple[float, ...]) -> list[float]:
    return [value for value in values if drawable(value)]


def mean(values: tuple[float, ...]) -> float:
    """Mean of the finite values, NaN if there are none."""
    known = finite(values)
    return sum(known) / len(known) if known else math.nan


def metric_picture(proof: Proof, words: Words) -> Html:
    """One row per arm: a dot per seed and the mean."""
    summary = words(
        "proof.metric_summary",
        metric=words.say(proof.metric),
        before=number(proof.metric_before),
        after=number(proof.metric_after),
        placebo=number(proof.placebo),
        random=number(proof.random_remedy),
    )
    return for_all_screens(lambda size: _metric(arms(proof), summary, size, words))


def measure_picture(measure: Measure, words: Words) -> Html:
    """The number that had failed, before and after: a dot per seed and the mean."""
    statistic = words.statistic(measure.statistic)
    sides = [Arm("original", (), measure.before, ()), Arm("treated", (), measure.after, ())]
    before, after = (words.value(measure.statistic, mean(side.metrics)) for side in sides)
    summary = words("cure.measure_summary", statistic=statistic, before=before, after=after)
    return for_all_screens(lambda size: _metric(sides, summary, size, words))


def effect_picture(proof: Proof, words: Words) -> Html:
    """The treated runs' gain over the original and over the placebo, as intervals beside zero."""
    summary = words(
        "proof.effect_summary",
        effect=number(proof.effect),
        low=number(proof.interval[0]),
        high=number(proof.interval[1]),
        placebo_low=number(proof.placebo_interval[0]),
        placebo_high=number(proof.placebo_interval[1]),
    )
    return for_all_screens(lambda size: _effect(proof, summary, size, words))


def loss_picture(proof: Proof, words: Words) -> Html:
    """Training loss per step, a curve per seed and their mean, for each arm."""
    by_name = {arm.name: arm for arm in proof.arms}
    summary = words(
        "proof.loss_summary",
        steps=proof.steps,
        original=_course(by_name.get("original")),
        treated=_course(by_name.get("treated")),
    )
    return for_all_screens(lambda size: _losses(proof, summary, size, words))


def _label_room(size: Size) -> float:
    return 150 if size.width > 500 else 124


def _metric(shown: list[Arm], summary: str, size: Size, words: Words) -> Html:
    values = [value for arm in shown for value in finite(arm.metrics)]
    scale = _around(values, _label_room(size), size.width - 58)
    height = ROW * len(shown) + 12
    rows = [_metric_row(arm, index, scale, size, words) for index, arm in enumerate(shown)]
    return picture(size, height + 22, summary, _linear_grid(scale, 6, height), *rows)


def _metric_row(arm: Arm, index: int, scale: _Scale, size: Size, words: Words) -> Html:
    y = 8 + ROW * (index + 0.5)
    style = f"arm-{arm.name}"
    shapes = [label(_label_room(size) - 14, y + 4, words.name(f"proof.arm_{arm.name}", arm.name), "row", "end")]
    middle = mean(arm.metrics)
    if drawable(middle):
        shapes.append(line((scale(middle), y - 11), (scale(middle), y + 11), f"mean {style}"))
        shapes.append(label(size.width - 2, y + 4, number(middle), "row strong", "end"))
    for seed, value in enumerate(arm.metrics):
        if drawable(value):
            shapes.append(dot(scale(value), y, 4, f"seed {style}", title(number(value))))
        else:
            shapes.append(cross(scale.start + 8 + 12 * seed, y, 4, "failed"))
    return join(*shapes)


def _effect(proof: Proof, summary: str, size: Size, words: Words) -> Html:
    means = {arm.name: mean(arm.metrics) for arm in proof.arms}
    against_placebo = means.get("treated", math.nan) - means.get("placebo", math.nan)
    rows = [
        (words("proof.against_original"), proof.effect, proof.interval),
        (words("proof.against_placebo"), against_placebo, proof.placebo_interval),
    ]
    known = [value for _, middle, interval in rows for value in finite((middle, *interval))]
    scale = _around([0.0, *known], _label_room(size), size.width - 58)
    height = ROW * len(rows) + 12
    zero = line((scale(0.0), 6), (scale(0.0), height), "zero-line")
    drawn = [_interval_row(row, index, scale, size) for index, row in enumerate(rows)]
    return picture(size, height + 22, summary, _linear_grid(scale, 6, height), zero, *drawn)


def _interval_row(row: tuple[str, float, tuple[float, float]], index: int, scale: _Scale, size: Size) -> Html:
    name, middle, (low, high) = row
    y = 8 + ROW * (index + 0.5)
    style = "holds" if low > 0 else ("harms" if high < 0 else "open")
    shapes = [label(_label_room(size) - 14, y + 4, name, "row", "end")]
    if drawable(low) and drawable(high):
        told = title(f"{number(low)} … {number(high)}")
        shapes.append(rect(scale(low), y - 5, max(scale(high) - scale(low), 2), 10, f"interval {style}", told))
    if drawable(middle):
        shapes.append(dot(scale(middle), y, 4.5, f"effect {style}"))
        shapes.append(label(size.width - 2, y + 4, number(middle), "row strong", "end"))
    return join(*shapes)


def _losses(proof: Proof, summary: str, size: Size, words: Words) -> Html:
    known = [value for arm in proof.arms for losses in arm.losses for value in finite(losses)]
    steps = max((len(losses) for arm in proof.arms for losses in arm.losses), default=0)
    log = bool(known) and min(known) > 0 and max(known) / min(known) > LOG_FROM
    left, top, height = 52.0, 10.0, LOSS_HEIGHT[size.name]
    place = math.log10 if log else float
    y_scale = _around([place(value) for value in known], top + height, top)
    x_scale = _Scale(0, max(steps - 1, 1), left, size.width - 10.0)
    shapes = [_loss_grid(y_scale, log, left, size), _step_axis(x_scale, top + height, size, words)]
    for arm in arms(proof):
        for losses in arm.losses if len(arm.losses) > 1 else ():
            shapes += _curve(losses, x_scale, lambda value: y_scale(place(value)), f"curve thin arm-{arm.name}")
        shapes += _curve(_mean_curve(arm), x_scale, lambda value: y_scale(place(value)), f"curve arm-{arm.name}")
    return picture(size, top + height + 40, summary, *shapes)


def _loss_grid(scale: _Scale, log: bool, left: float, size: Size) -> Html:
    ticks = (
        [float(t) for t in decade_ticks(scale.low, scale.high, 6)] if log else linear_ticks(scale.low, scale.high, 5)
    )
    shapes = []
    for tick in ticks:
        x, y = left - 8, scale(tick) + 4
        shapes.append(line((left, scale(tick)), (size.width - 10, scale(tick)), "grid"))
        shapes.append(power_of_ten(x, y, round(tick)) if log else label(x, y, number(tick), "tick", "end"))
    return join(*shapes)


def _step_axis(scale: _Scale, bottom: float, size: Size, words: Words) -> Html:
    whole = [tick for tick in linear_ticks(scale.low, scale.high, 5) if tick == round(tick)]
    ticks = [label(scale(tick), bottom + 18, number(round(tick)), "tick", "middle") for tick in whole]
    return join(*ticks, label((scale.start + scale.end) / 2, bottom + 35, words("proof.step_axis"), "side", "middle"))


def _curve(losses: tuple[float, ...], x: _Scale, y: Callable[[float], float], class_: str) -> list[Html]:
    """A curve's stretches without non-finite values; where it breaks off for good, a cross."""
    stretch: list[tuple[float, float]] = []
    shapes: list[Html] = []
    stride = max(math.ceil(len(losses) / MOST_POINTS), 1)
    kept = sorted({*range(0, len(losses), stride), len(losses) - 1}) if losses else []
    for step in kept:
        if drawable(losses[step]):
            stretch.append((x(step), y(losses[step])))
            continue
        if stretch:
            shapes += [polyline(stretch, class_), cross(*stretch[-1], 4, "failed")]
        stretch = []
    return [*shapes, polyline(stretch, class_)]


def _mean_curve(arm: Arm) -> tuple[float, ...]:
    """Mean over the seeds that still run, step by step."""
    longest = max(map(len, arm.losses), default=0)
    return tuple(mean(tuple(losses[i] for losses in arm.losses if i < len(losses))) for i in range(longest))


def _course(arm: Arm | None) -> str:
    curve = _mean_curve(arm) if arm else ()
    return f"{number(curve[0])} → {number(curve[-1])}" if curve else "–"


def _around(values: list[float], start: float, end: float) -> _Scale:
    """A scale with a little air around ``values``."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    air = (high - low) * 0.06 or max(abs(high), 1.0) * 0.05
    return _Scale(low - air, high + air, start, end)


def _linear_grid(scale: _Scale, top: float, bottom: float) -> Html:
    shapes = []
    for tick in linear_ticks(scale.low, scale.high, 5):
        shapes.append(line((scale(tick), top), (scale(tick), bottom), "grid"))
        shapes.append(label(scale(tick), bottom + 16, number(round(tick, 12)), "tick", "middle"))
    return join(*shapes)
