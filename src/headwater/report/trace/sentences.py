"""What the faces of a trace say in words: the verdict, the formulas, the checks."""

import math
from operator import itemgetter

from headwater.i18n import has_text, number
from headwater.records import Comparison, Derivation, Factor, LayerGain, ScalarPath, WeightGradient
from headwater.records.trace import indexed
from headwater.report.names import clean, shorten
from headwater.report.numbers import decades, number_from_log10
from headwater.report.trace.payload import Trace
from headwater.report.trace.symbols import (
    exactly,
    explained_symbol,
    factor_symbol,
    gradient_symbol,
    of_signed,
    output_symbol,
    precise,
    stage_symbols,
    upper_symbol,
)
from headwater.report.words import Words

_GLYPHS = {"holds": "✓", "rounding": "▲", "unresolved": "?", "fails": "✗"}


def status(trace: Derivation) -> str:
    """The status whose glyph and colour the trace takes."""
    found = {check.status for check in trace.checks}
    if "fails" in found:
        return "critical"
    return "warning" if "rounding" in found else "healthy"


def headline(trace: Trace, words: Words) -> str:
    """The gradient and whether the two ways to it agree."""
    found = {check.status for check in trace.checks}
    end = "fails" if "fails" in found else "rounding" if "rounding" in found else "holds"
    return words(f"trace.headline_{end}", symbol=clean(gradient_symbol(trace)), value=of_signed(trace.gradient))


def facts(trace: Trace, words: Words) -> list[str]:
    """What was traced."""
    target = words.say(trace.target)
    told = words("trace.target_value", symbol=upper_symbol(trace), target=target, value=precise(trace.loss))
    samples = words.counted("trace.sample", trace.samples)
    return [
        clean(trace.run.model),
        words(f"trace.kind_{trace.kind}"),
        clean(trace.parameter_name),
        told,
        samples,
        trace.dtype,
    ]


def chain_formulas(trace: Derivation) -> list[str]:
    """The lectures' formulas for a chain."""
    own, upper, output = explained_symbol(trace), upper_symbol(trace), output_symbol(trace)
    loss = f"∂L/∂{output} · " if upper == "L" and trace.factors_of("loss") else ""
    end = "".join(f" · {factor_symbol(f)}" for f in trace.factors_of("input"))
    slopes = "Π ∂aᵢ/∂pᵢ₋₁" if trace.factors_of("activation") else ""
    weights = "Π wᵢ" if trace.factors_of("weight") else ""
    middle = " · ".join(part for part in (slopes, weights) if part) or "1"
    return ["p₁ = w₁x + b₁,  aᵢ = φ(pᵢ₋₁),  pᵢ = wᵢaᵢ + bᵢ", f"∂{upper}/∂{own} = {loss}{middle}{end}"]


def chain_products(trace: Derivation, words: Words) -> list[tuple[str, str, float]]:
    """Each group of factors: what it is, its product, and log₁₀ of that."""
    upper, output = upper_symbol(trace), output_symbol(trace)
    groups: list[tuple[str, tuple[Factor, ...]]] = [
        (f"∂L/∂{output}", trace.factors_of("loss")),
        ("Π ∂aᵢ/∂pᵢ₋₁", trace.factors_of("activation")),
        ("Π wᵢ", trace.factors_of("weight")),
        *((factor_symbol(f), (f,)) for f in trace.factors_of("input")),
    ]
    rows = [(label, *_product(factors)) for label, factors in groups if factors]
    return [*rows, (f"∂{upper}/∂{explained_symbol(trace)}", of_signed(trace.gradient), trace.gradient.log10)]


def _product(factors: tuple[Factor, ...]) -> tuple[str, float]:
    log10 = math.fsum(f.log10 for f in factors) if all(f.value for f in factors) else -math.inf
    negative = sum(f.value < 0 for f in factors) % 2 == 1
    shown = precise(factors[0].value) if len(factors) == 1 else number_from_log10(log10)
    return (f"-{shown}" if negative and len(factors) > 1 else shown), log10


def weight_name(weight: WeightGradient) -> str:
    """``0.weight[0,1]``, and ``0.weight[0,1] #2`` at its second use."""
    name = indexed(weight.parameter, weight.index)
    return f"{name} #{weight.use}" if weight.use > 1 else name


def descent(trace: Trace, words: Words) -> str:
    """What one step of gradient descent does to the loss."""
    assert trace.descent is not None
    step = trace.descent
    change = (
        "falls" if step.loss_after < step.loss_before else "rises" if step.loss_after > step.loss_before else "stays"
    )
    before, after = precise(step.loss_before), precise(step.loss_after)
    if before == after and change != "stays":  # four digits do not show it
        before, after = f"{step.loss_before:.12g}", f"{step.loss_after:.12g}"
    return words(f"trace.descent_{change}", rate=number(step.rate), before=before, after=after)


def layers_legend(trace: Derivation, words: Words) -> list[str]:
    """How the table of layers is read."""
    told = [words("trace.legend_direction"), words("trace.legend_ratio"), words("trace.legend_random")]
    if any(row.inside for row in trace.layers):
        told.append(words("trace.legend_inside"))
    return told


def takes_most(trace: Derivation, words: Words) -> str:
    """Which operation takes most of the gradient, and what each sort of operation comes to."""
    model = [(row.log10_ratio, row) for row in trace.layers if row.part == "model" and row.log10_ratio is not None]
    if not model or trace.blocked is not None:
        return ""
    log10, worst = min(model, key=itemgetter(0))
    kinds: dict[str, float] = {}
    for row in trace.layers:
        kind = "loss" if row.part == "loss" else row.kind
        kinds[kind] = kinds.get(kind, 0.0) + (row.log10_ratio or 0.0)
    parts = ", ".join(f"{words(f'trace.by_{kind}')} {_decades(value)}" for kind, value in kinds.items())
    said = words(
        "trace.takes_most" if log10 < 0 else "trace.takes_none",
        name=operation(worst.name, worst.op),
        ratio=number_from_log10(log10),
    )
    return f"{said} {words('trace.by_kind', parts=parts, total=_decades(sum(kinds.values())))}"


def arrival(trace: Derivation, words: Words) -> str:
    """What the gradient of a single weight of a larger network is made of; nothing where that is not known."""
    own = trace.arrival
    if own is None:
        return ""
    values = {
        "error": of_signed(own.error),
        "activation": precise(own.activation),
        "gradient": of_signed(trace.gradient),
    }
    site = operation(own.name, own.op)
    if own.count == 1:
        return words("trace.arrival", site=site, **values)
    return words("trace.arrival_many", site=site, count=own.count, alignment=precise(own.alignment), **values)


def _decades(value: float) -> str:
    return decades(value)


def path_sentence(path: ScalarPath, trace: Derivation) -> str:
    """``∂L/∂a₃ -0.885 · ∂a₂/∂p₁ 0.1966 · w₂ 1 · x 1 = -0.0429``."""
    upper, output = upper_symbol(trace), output_symbol(trace)
    factors = [f for f in path.factors if f.kind != "loss" or upper == "L"]
    parts = [f"{factor_symbol(f, upper, output)} {precise(f.value)}" for f in factors]
    return f"{' · '.join(parts)} = {precise(path.product)}"


def operation(name: str | None, op: str) -> str:
    """``21 Linear``; a function, whose name says it already, alone; what is no site in brackets."""
    if name is None:
        return f"({clean(op)})"
    name, op = clean(name), clean(op)
    return name if name.rpartition("/")[2].partition("#")[0] == op else f"{name} {op}".strip()


def layer_name(row: LayerGain, cells: int) -> str:
    """The operation, and how many more run inside: ``2/add#1 +5``."""
    inside = f" +{row.inside}" if row.inside else ""
    return shorten(operation(row.name, row.op), cells - len(inside)) + inside


def layer_gain(row: LayerGain) -> str:
    """The gain of a gradient of random direction, with its error where it is estimated."""
    if row.gain is None:
        return "–"
    return number(row.gain) + (f" ±{number(row.gain_error)}" if row.gain_error is not None else "")


def layer_largest(row: LayerGain) -> str:
    """The largest singular value, or what it is at least."""
    if row.largest is None:
        return "–"
    return ("≥" if row.largest_is_bound else "") + number(row.largest)


def check_glyph(check: Comparison) -> str:
    """The sign of a check's outcome."""
    return _GLYPHS.get(check.status, "?")


def check_name(check: Comparison, words: Words) -> str:
    """What was compared, and how many numbers."""
    single = f"trace.check.{check.id}_one"
    name = single if check.count == 1 and has_text(single) else f"trace.check.{check.id}"
    return words.name(name, check.id).replace("#", number(check.count))


def check(check: Comparison, words: Words) -> list[str]:
    """Both numbers, how far apart they are, and whether that is too far."""
    difference = number(check.difference) if check.difference else "0"
    said = words(
        "trace.check_line",
        what=check_name(check, words),
        value=exactly(check.value),
        reference_name=words.name(f"trace.reference.{check.id}", check.id),
        reference=exactly(check.reference),
        difference=difference,
    )
    *numbers, apart = said.split(" · ")
    if check.status == "holds":
        return [*numbers, apart]
    ending = words(f"trace.check_{check.status}", tolerance=number(check.tolerance))
    return [*numbers, f"{apart} {ending}"]


def precision(trace: Derivation, words: Words) -> list[str]:
    """What the model's own type makes of the gradient."""
    found, dtype = trace.rounded, trace.rounded_dtype
    if found is None or trace.dtype == dtype or not trace.gradient.sign:
        return []
    if not found.sign:
        return [words("trace.rounded_to_zero", dtype=dtype)]
    return [words("trace.rounded", dtype=dtype, value=of_signed(found))]


def jacobian_notes(trace: Derivation, words: Words) -> list[str]:
    """Remarks about single operations' Jacobians, each once, with the operations it is about."""
    found: dict[str, list[str]] = {}
    for row in trace.layers:
        if row.note is not None:
            found.setdefault(words.say(row.note), []).append(row.name)
    return [
        words(
            "trace.at_operations", names=", ".join(map(clean, names[:3])) + (" …" if len(names) > 3 else ""), note=note
        )
        for note, names in found.items()
    ]


def picture_summary(trace: Derivation, words: Words) -> str:
    """One sentence for those who do not see the picture."""
    symbols = stage_symbols(trace.stages)
    if trace.kind == "network":
        rows = "; ".join(
            f"{symbol} = {', '.join(precise(value) for value in stage.values[:6])}"
            for symbol, stage in zip(symbols, trace.stages, strict=True)
        )
        return words("trace.network_summary", rows=rows)
    start, end, count = way_ends(trace)
    return words("trace.way_summary", start=start, end=end, count=count)


def way_ends(trace: Derivation) -> tuple[str, str, int]:
    """Where the gradient sets out, where it arrives, and over how many factors."""
    if trace.kind == "chain":
        return "1", of_signed(trace.gradient), len(trace.factors)
    return "1", number_from_log10(trace.log10_input_gradient), len(trace.layers)
