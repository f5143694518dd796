"""A trace for a terminal, in 80 columns: the gradient, what it is made of, and how it was checked."""

import math
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from headwater.records import Derivation, Factor, WeightGradient
from headwater.report.lines import COLOURS, WIDEST, WIDTH, fit, padded
from headwater.report.names import clean, shorten
from headwater.report.numbers import decades, number_from_log10
from headwater.report.trace import sentences
from headwater.report.trace.columns import Row, aligned, bar, dimmed, middle_out, packed, paragraph, to_the_right
from headwater.report.trace.payload import Trace
from headwater.report.trace.symbols import precise, stage_symbols, upper_symbol
from headwater.report.words import Words, glyph

MOST_WEIGHTS = 24
MOST_PATHS = 8
CELL = 10


def lines(trace: Trace, words: Words, width: int = WIDTH) -> list[Text]:
    """The trace's lines, none wider than ``width`` cells."""
    width = min(max(width, 20), WIDEST)
    middle = {"chain": _chain, "network": _network, "layers": _layers}[trace.kind](trace, words, width)
    if trace.blocked is not None:
        middle.append(paragraph(words.say(trace.blocked), width))
    blocks = [_head(trace, words, width), *middle, _checks(trace, words, width), _notes(trace, words, width)]
    shown: list[Text] = []
    for block in blocks:
        if block:
            shown += [*([Text()] if shown else []), *block]
    return [fit(line, width) for line in shown]


def _head(trace: Trace, words: Words, width: int) -> list[Text]:
    status = sentences.status(trace)
    told = paragraph(f"{glyph(status)} {sentences.headline(trace, words)}", width, 0)
    head = [Text(line.plain, COLOURS[status]) for line in told]
    return [*head, *dimmed(packed(sentences.facts(trace, words), width))]


def _chain(trace: Trace, words: Words, width: int) -> list[list[Text]]:
    formulas = [line for formula in sentences.chain_formulas(trace) for line in paragraph(formula, width, hanging=4)]
    upper = upper_symbol(trace)
    head = ["i", "pᵢ₋₁", "∂aᵢ/∂pᵢ₋₁", "wᵢ", "log₁₀", f"|∂{upper}/∂pᵢ₋₁|", ""]
    rows = chain_rows(trace)
    levels = [row.reached for row in rows]
    body = [
        [
            str(row.index),
            precise(row.slope.at) if row.slope and row.slope.at is not None else "–",
            precise(row.slope.value) if row.slope else "–",
            precise(row.weight.value) if row.weight else "–",
            decades(row.log10) if math.isfinite(row.log10) else "-Inf",
            number_from_log10(row.reached),
            bar(row.reached, levels),
        ]
        for row in rows
    ]
    return [formulas, aligned(head, middle_out(body, words), width, spare=(1, 4)), _totals(trace, words)]


@dataclass(frozen=True)
class ChainRow:
    """The factors of one i, and how large the gradient is that has come so far.

    Attributes:
        index: The i.
        slope: ∂a_i/∂p_{i-1}.
        weight: w_i.
        reached: log₁₀ of the magnitude of the product of the factors from the output down to this i.
    """

    index: int
    slope: Factor | None
    weight: Factor | None
    reached: float

    @property
    def log10(self) -> float:
        """log₁₀ of what this i multiplies the gradient by."""
        return sum(factor.log10 for factor in (self.slope, self.weight) if factor is not None)


def chain_rows(trace: Derivation) -> list[ChainRow]:
    """The factors by i, from the explained weight to the output."""
    slopes = {factor.index: factor for factor in trace.factors_of("activation")}
    weights = {factor.index: factor for factor in trace.factors_of("weight")}
    level = sum(factor.log10 for factor in trace.factors_of("loss"))
    rows = []
    for index in sorted(slopes.keys() | weights.keys(), reverse=True):
        slope, weight = slopes.get(index), weights.get(index)
        level += sum(factor.log10 for factor in (slope, weight) if factor is not None)
        rows.append(ChainRow(index, slope, weight, level))
    return rows[::-1]


def _totals(trace: Trace, words: Words) -> list[Text]:
    """What each group of factors comes to."""
    rows = []
    for label, product, log10 in sentences.chain_products(trace, words):
        rows.append([label, product, words("trace.decades", decades=decades(log10)) if math.isfinite(log10) else ""])
    widths = [max(cell_len(row[column]) for row in rows) for column in range(3)]
    return [
        Text("  " + padded(row[0], widths[0]) + "  " + to_the_right(row[1], widths[1]) + "  " + row[2]) for row in rows
    ]


def _network(trace: Trace, words: Words, width: int) -> list[list[Text]]:
    blocks = [_units(trace, words, width)]
    blocks.append(_weights(trace, words, width))
    blocks.append(_paths(trace, words, width))
    if trace.descent is not None:
        blocks.append(paragraph(sentences.descent(trace, words), width))
    return blocks


def _units(trace: Trace, words: Words, width: int) -> list[Text]:
    """Each row of units: what it holds, φ′, and the error at it."""
    most = max((width - 26 - 5) // CELL, 1)  # beside the names, and room to say how many more there are
    shown = [Text("  " + words("trace.units_head"), "dim")]
    upper = upper_symbol(trace)
    symbols = stage_symbols(trace.stages)
    for stage, symbol in zip(trace.stages, symbols, strict=True):
        name = "" if stage.kind == "input" else shorten(sentences.operation(stage.name, stage.op), 14)
        rows: list[tuple[str, tuple[float, ...]]] = [(symbol, stage.values)]
        if stage.slopes:
            rows.append(("φ′", stage.slopes))
        rows.append((f"∂{upper}/∂{symbol}", stage.gradients))
        for place, (label, values) in enumerate(rows):
            numbers = "".join(to_the_right(precise(value), CELL) for value in values[:most])
            more = f"  +{len(values) - most}" if len(values) > most else ""
            line = Text.assemble("  ", padded(name if not place else "", 14), " ", (padded(label, 9), "dim"))
            line.append(numbers + more, "bold" if not place else "")
            shown.append(line)
    return shown


def _weights(trace: Trace, words: Words, width: int) -> list[Text]:
    """Each weight: its gradient as error × activation, and where a step takes it."""
    own = [w for w in trace.weights if w.parameter == trace.parameter]
    others = [w for w in trace.weights if w.parameter != trace.parameter]
    chosen = [*own, *others] if len(trace.weights) > MOST_WEIGHTS else list(trace.weights)
    head = [
        words("trace.weight"),
        "w",
        words("trace.error"),
        "×",
        words("trace.activation"),
        "=",
        words("trace.gradient"),
    ]
    head += ["→ w"] if trace.descent else []
    body = [_weight_row(weight, trace.descent is not None) for weight in chosen[:MOST_WEIGHTS]]
    shown = [Text("  " + words("trace.weights_head"), "dim"), *aligned(head, body, width, text_columns=1, spare=(1,))]
    rest = len(chosen) - MOST_WEIGHTS
    if rest > 0:
        shown.append(Text("  " + words("trace.more_weights", count=rest), "dim"))
    return shown


def _weight_row(weight: WeightGradient, moved: bool) -> Row:
    row = [
        shorten(clean(sentences.weight_name(weight)), 18),
        precise(weight.value),
        precise(weight.error),
        "×",
        precise(weight.activation),
        "=",
        precise(weight.gradient),
    ]
    return [*row, precise(weight.updated)] if moved else row


def _paths(trace: Trace, words: Words, width: int) -> list[Text]:
    """The ways from the explained weight to the output, factor by factor."""
    if not trace.paths:
        return []
    name = clean(trace.parameter_name)
    shown = [Text("  " + words("trace.paths_head", name=name, count=trace.path_count), "dim")]
    for path in trace.paths[:MOST_PATHS]:
        shown += paragraph(sentences.path_sentence(path, trace), width, hanging=4)
    rest = trace.path_count - MOST_PATHS
    if rest > 0:
        shown.append(Text("  " + words("trace.more_paths", count=rest), "dim"))
    return shown


def _layers(trace: Trace, words: Words, width: int) -> list[list[Text]]:
    if not trace.layers:
        return []
    levels = [row.log10_gradient for row in trace.layers]
    head = [
        words("trace.operation"),
        words("trace.ratio"),
        words("trace.random"),
        words("trace.largest"),
        words("trace.norm_at_input"),
        "",
    ]
    body = [
        [
            sentences.layer_name(row, 20),
            number_from_log10(row.log10_ratio),
            sentences.layer_gain(row),
            sentences.layer_largest(row),
            number_from_log10(row.log10_gradient),
            bar(row.log10_gradient, levels),
        ]
        for row in trace.layers
    ]
    table = aligned(head, middle_out(body, words), width, text_columns=1, spare=(3, 2))
    told = [part for line in sentences.layers_legend(trace, words) for part in paragraph(line, width)]
    most = sentences.takes_most(trace, words)
    own = sentences.arrival(trace, words)
    sentence = [line for text in (most, own) if text for line in paragraph(text, width)]
    return [dimmed(told), table, sentence, _side_way(trace, words, width)]


def _side_way(trace: Trace, words: Words, width: int) -> list[Text]:
    """The way through branches, where operations run side by side."""
    if trace.way is None or not trace.way.steps:
        return []
    body = [
        [
            shorten(sentences.operation(step.site, step.op), 34),
            number_from_log10(step.log10_gain),
            decades(step.log10_gain) if math.isfinite(step.log10_gain) else "-Inf",
        ]
        for step in trace.way.steps
    ]
    head = [words("trace.operation"), words("trace.ratio_rms"), words("trace.table_log10")]
    caption = dimmed(paragraph(words("trace.way_caption"), width))
    return [*caption, *aligned(head, middle_out(body, words), width, text_columns=1)]


def _checks(trace: Trace, words: Words, width: int) -> list[Text]:
    """Every check, whatever it said."""
    shown: list[Text] = []
    for check in trace.checks:
        first, *others = sentences.check(check, words)
        told = packed([f"{sentences.check_glyph(check)} {first}", *others], width, hanging=2)
        if check.why is not None:
            told += paragraph(words.say(check.why), width, indent=4)
        colour = COLOURS["critical"] if check.status == "fails" else ""
        shown += [Text(line.plain, colour) for line in told]
    return shown


def _notes(trace: Trace, words: Words, width: int) -> list[Text]:
    told = [*sentences.precision(trace, words), *(words.say(note) for note in trace.notes)]
    noted = sentences.jacobian_notes(trace, words)
    return [line for sentence in (*told, *noted) for line in paragraph(f"· {sentence}", width, hanging=2)]
