"""The picture of a chain or of layers: the gradient's size on a log axis, one bar per factor."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.records import Derivation, Factor, LayerGain
from headwater.report.charts.layers import LETTER, LayerFrame, decade_range
from headwater.report.markup import Html, join
from headwater.report.names import clean, shorten
from headwater.report.numbers import number_from_log10
from headwater.report.svg import Size, dot, for_all_screens, hatch, label, line, picture, rect, title
from headwater.report.trace import sentences
from headwater.report.trace.symbols import (
    factor_symbol,
    has_loss,
    lowered,
    output_symbol,
    precise,
    upper_symbol,
)
from headwater.report.words import Words

PLOT_HEIGHT = {"wide": 300, "narrow": 230}
ZERO_LANE = 16.0  # height of what follows a factor of zero
LEAST_COLUMN = 3.0  # narrower bars are drawn together
MARK_ROOM = 8.0  # width that a dot and its line ask for
MOST_MARKED = 30  # bars; of more, dots and lines would hide the bars
_CATEGORY = {"activation": "cat-activation", "weight": "cat-weight", "input": "cat-input", "loss": "cat-loss"}
_KINDS = ("activation", "normalization", "pooling")


@dataclass(frozen=True)
class Bar:
    """One factor on the gradient's way.

    Attributes:
        name: Under the axis.
        told: To a resting pointer.
        style: Class of its colour.
        log10: log₁₀ of what it multiplies the gradient by; ``-inf`` for zero.
        random: log₁₀ of what a gradient of random direction is multiplied by.
        random_error: Standard error of that, as a share of it.
        largest: log₁₀ of the largest singular value.
    """

    name: str
    told: str
    style: str
    log10: float
    random: float | None = None
    random_error: float | None = None
    largest: float | None = None


def bars_of(trace: Derivation) -> list[Bar]:
    """The factors from the loss back to the explained weight, or to the input."""
    if trace.kind == "chain":
        return _chain_bars(trace)
    return [_layer_bar(row) for row in trace.layers]


def _chain_bars(trace: Derivation) -> list[Bar]:
    """As the gradient meets them: the loss, then w_n, ∂a_n/∂p_{n-1}, w_{n-1}, ..., the input."""
    order = {"loss": 0, "activation": 2, "weight": 1, "input": 3}
    met = sorted(trace.factors, key=lambda f: (f.kind == "input", f.kind != "loss", -f.index, order[f.kind]))
    return [_factor_bar(factor, trace) for factor in met]


def _factor_bar(factor: Factor, trace: Derivation) -> Bar:
    symbol = factor_symbol(factor, upper_symbol(trace), output_symbol(trace))
    names = {"activation": f"φ′{lowered(factor.index)}", "weight": symbol, "input": symbol, "loss": "∂L"}
    told = f"{symbol} = {precise(factor.value)}\n{sentences.operation(factor.site, factor.op)}"
    return Bar(names[factor.kind], told, _CATEGORY[factor.kind], factor.log10)


def _layer_bar(row: LayerGain) -> Bar:
    style = "cat-loss" if row.part == "loss" else "cat-weights" if row.kind == "affine" else f"cat-{row.kind}"
    style = style if row.kind in (*_KINDS, "affine") or row.part == "loss" else "cat-other"
    style = "cat-shortcut" if row.kind == "join" and row.part == "model" else style
    gain = row.gain or None
    return Bar(
        name=row.name,
        told=f"{sentences.operation(row.name, row.op)}\n× {number_from_log10(row.log10_ratio)}",
        style=style,
        log10=0.0 if row.log10_ratio is None else row.log10_ratio,
        random=math.log10(gain) if gain else None,
        random_error=row.gain_error / gain if gain and row.gain_error else None,
        largest=math.log10(row.largest) if row.largest else None,
    )


def has_marks(trace: Derivation) -> bool:
    """Whether the picture shows what Jacobians do to a random direction, and at most."""
    bars = bars_of(trace)
    return len(bars) <= MOST_MARKED and any(bar.random is not None or bar.largest is not None for bar in bars)


def is_drawable(trace: Derivation) -> bool:
    """Whether there is a way to draw, with a place on an axis."""
    bars = bars_of(trace)
    return bool(bars) and not any(math.isnan(bar.log10) or bar.log10 == math.inf for bar in bars)


def way_picture(trace: Derivation, words: Words) -> Html:
    """The picture: the loss at the right, the explained weight or the input at the left."""
    bars = bars_of(trace)
    summary = sentences.picture_summary(trace, words)
    end = words("report.flow_loss_side") if has_loss(trace) else words("trace.output_side")
    return for_all_screens(lambda size: _draw(bars, summary, end, size, words))


def _draw(bars: list[Bar], summary: str, end: str, size: Size, words: Words) -> Html:
    grouped = _grouped(bars, size)
    levels, reached = [0.0], 0.0
    for bar in grouped:
        reached += bar.log10
        if math.isfinite(reached):
            levels.append(reached)
    low, high = decade_range(levels)
    frame = LayerFrame(size, len(grouped), 14, PLOT_HEIGHT[size.name], low, high)
    names = [bar.name for bar in reversed(grouped)]
    start = frame.y(0.0)
    return picture(
        size,
        frame.bottom + 46,
        summary,
        hatch(f"hw-trace-zero-{size.name}"),
        frame.grid(),
        line((frame.left, start), (frame.right, start), "floor"),
        join(*_shapes(grouped, frame)),
        label(frame.right + 6, start + 5, "1", "value"),
        _end(grouped, frame),
        _axis(names, end, frame, words),
    )


def _axis(names: list[str], end: str, frame: LayerFrame, words: Words) -> Html:
    """Names below the plot, as many as find room; and which side is which."""
    cells = 10 if frame.size.name == "wide" else 8
    longest = max(len(shorten(clean(name), cells)) for name in names)
    step = max(math.ceil((longest * LETTER + 10) / frame.column), 1)
    y = frame.bottom + 18
    shown = [
        label(frame.x(index), y, words.site(names[index], cells), "tick", "middle")
        for index in range(0, len(names), step)
    ]
    return join(
        *shown,
        label(frame.left, y + 18, f"← {words('report.flow_input_side')}", "side"),
        label(frame.right, y + 18, f"{end} →", "side", "end"),
    )


def _grouped(bars: list[Bar], size: Size) -> list[Bar]:
    """Neighbouring bars drawn as one where they would be thinner than a line."""
    frame = LayerFrame(size, len(bars), 0, 1, 0, 1)
    step = math.ceil(LEAST_COLUMN / frame.column)
    if step <= 1:
        return bars
    groups = [bars[start : start + step] for start in range(0, len(bars), step)]
    return [Bar(g[-1].name, "\n".join(bar.told for bar in g), "cat-other", sum(bar.log10 for bar in g)) for g in groups]


def _shapes(bars: list[Bar], frame: LayerFrame) -> Iterator[Html]:
    level, right = 0.0, frame.right
    for bar in bars:
        left = right - frame.column
        inset = min(frame.column * 0.12, 3.0)
        if not math.isfinite(level) or not math.isfinite(bar.log10):
            top = frame.y(level) if math.isfinite(level) else frame.bottom - ZERO_LANE
            fill = f"url(#hw-trace-zero-{frame.size.name})"
            width, height = frame.column - 2 * inset, frame.bottom - top
            yield rect(left + inset, top, width, height, "zero", title(bar.told), fill=fill)
            level = -math.inf
        else:
            after = level + bar.log10
            top, bottom = sorted((frame.y(level), frame.y(after)))
            yield line((right, frame.y(level)), (left, frame.y(level)), "step")
            yield rect(
                left + inset,
                top,
                frame.column - 2 * inset,
                max(bottom - top, 1.2),
                f"bar {bar.style}",
                title(bar.told),
            )
            yield from _marks(bar, level, (left + right) / 2, frame)
            level = after
        right = left


def _marks(bar: Bar, level: float, x: float, frame: LayerFrame) -> Iterator[Html]:
    """What the Jacobian does to a random direction, and at most, from where the bar starts."""
    if frame.column < MARK_ROOM or frame.count > MOST_MARKED:
        return
    reach = min(frame.column * 0.36, 9.0)
    if bar.largest is not None:
        y = _inside(frame, level + bar.largest)
        yield line((x - reach, y), (x + reach, y), "at-most")
    if bar.random is not None:
        if bar.random_error:
            spread = math.log10(1 + bar.random_error)
            top, bottom = _inside(frame, level + bar.random + spread), _inside(frame, level + bar.random - spread)
            yield line((x, top), (x, bottom), "random-error")
        yield dot(x, _inside(frame, level + bar.random), min(3.6, reach), "random")


def _inside(frame: LayerFrame, log10: float) -> float:
    return min(max(frame.y(log10), frame.top), frame.bottom)


def _end(bars: list[Bar], frame: LayerFrame) -> Html:
    """The gradient's size where the way ends."""
    total = sum(bar.log10 for bar in bars)
    if not math.isfinite(total):
        return label(frame.left + 2, frame.bottom - ZERO_LANE - 6, "0", "value")
    y = frame.y(total) + (18 if total < 0 else -8)
    return label(frame.left + 2, min(max(y, frame.top + 10), frame.bottom - 4), number_from_log10(total), "value")
