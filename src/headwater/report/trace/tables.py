"""The numbers behind a trace's pictures: every factor, operation, unit, weight and way."""

import math

from headwater.report.markup import Html, el, join
from headwater.report.names import clean
from headwater.report.numbers import decades, number_from_log10
from headwater.report.sections.parts import details, table
from headwater.report.trace import sentences
from headwater.report.trace.payload import Trace
from headwater.report.trace.symbols import factor_symbol, output_symbol, precise, stage_symbols, upper_symbol
from headwater.report.words import Words


def factor_table(trace: Trace, words: Words) -> Html:
    """Of a chain: each factor with its part of the decades, and autograd's value of it."""
    upper, output = upper_symbol(trace), output_symbol(trace)
    names = ("table_factor", "operation", "table_at", "table_value", "table_log10", "table_autograd")
    head = [words(f"trace.{name}") for name in names]
    rows = [
        [
            factor_symbol(factor, upper, output),
            sentences.operation(factor.site, factor.op),
            "–" if factor.at is None else precise(factor.at),
            precise(factor.value),
            decades(factor.log10) if math.isfinite(factor.log10) else "-Inf",
            "–" if factor.autograd is None else precise(factor.autograd),
        ]
        for factor in trace.factors
    ]
    label = words("trace.factors_head")
    return details(label, table(head, rows, text_columns=2, label=label))


def layer_table(trace: Trace, words: Words) -> Html:
    """What each operation does to the gradient, and what its Jacobian could do; and how to read that."""
    head = [words("trace.operation"), words("trace.table_method"), words("trace.table_outputs")]
    head += [words(f"trace.{name}") for name in ("ratio", "random", "largest", "norm_at_input")]
    rows = [
        [
            sentences.layer_name(row, 60),
            words(f"trace.method_{row.method}", vectors=row.vectors)
            if row.method == "estimate"
            else words.name(f"trace.method_{row.method}", row.method),
            f"{row.outputs} × {row.inputs}",
            number_from_log10(row.log10_ratio),
            sentences.layer_gain(row),
            sentences.layer_largest(row),
            number_from_log10(row.log10_gradient),
        ]
        for row in trace.layers
    ]
    label = words("trace.layers_table")
    return join(
        details(label, table(head, rows, text_columns=3, label=label)),
        *[el("p", line, class_="note") for line in sentences.layers_legend(trace, words)],
    )


def unit_table(trace: Trace, words: Words) -> Html:
    """What each unit of a small network holds, its φ′, and the error at it."""
    upper = upper_symbol(trace)
    head = [words("trace.operation"), "", words("trace.table_value"), "φ′", f"∂{upper}/∂"]
    rows = []
    for stage, symbol in zip(trace.stages, stage_symbols(trace.stages), strict=True):
        for index, value in enumerate(stage.values):
            slope = precise(stage.slopes[index]) if stage.slopes else "–"
            where = "x" if stage.kind == "input" else sentences.operation(stage.name, stage.op)
            rows.append([where, f"{symbol} ({index + 1})", precise(value), slope, precise(stage.gradients[index])])
    label = words("trace.units_table")
    return details(label, table(head, rows, text_columns=2, label=label))


def weight_table(trace: Trace, words: Words) -> Html:
    """Each weight's gradient as error × activation."""
    names = ("weight", "table_value", "error", "activation", "gradient")
    head = [words(f"trace.{name}") for name in names]
    if trace.descent is not None:
        head.append("→ w")
    rows = [
        [
            clean(sentences.weight_name(weight)),
            precise(weight.value),
            precise(weight.error),
            precise(weight.activation),
            precise(weight.gradient),
            *([precise(weight.updated)] if trace.descent is not None else []),
        ]
        for weight in trace.weights
    ]
    label = words("trace.weights_table")
    caption = el("p", words("trace.weights_head"), class_="note")
    return details(label, join(caption, table(head, rows, text_columns=1, label=label)))


def path_table(trace: Trace, words: Words) -> Html:
    """The ways from the explained weight to the output, factor by factor."""
    label = words("trace.paths_table")
    items = [el("li", sentences.path_sentence(path, trace)) for path in trace.paths]
    head = words("trace.paths_head", name=clean(trace.parameter_name), count=trace.path_count)
    return details(label, join(el("p", head, class_="note"), el("ul", *items, class_="missing")))


def side_way(trace: Trace, words: Words) -> list[Html]:
    """The measured way through operations that run side by side."""
    if trace.way is None:
        return []
    head = [words("trace.operation"), words("trace.ratio_rms"), words("trace.table_log10")]
    rows = [
        [
            sentences.operation(step.site, step.op),
            number_from_log10(step.log10_gain),
            decades(step.log10_gain) if math.isfinite(step.log10_gain) else "-Inf",
        ]
        for step in trace.way.steps
    ]
    label = words("trace.way_head")
    caption = el("p", words("trace.way_caption"), class_="caption")
    shown = table(head, rows, text_columns=1, label=label)
    return [el("section", el("h2", label), caption, shown, id="side-way")]
