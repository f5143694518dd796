"""A trace as one offline page: the gradient, the formula, the check, the picture, and every number behind it."""

import math

from headwater.i18n import number
from headwater.records import Comparison, Derivation
from headwater.report.frame import document, style
from headwater.report.markup import Html, el, join
from headwater.report.names import clean
from headwater.report.sections.parts import details
from headwater.report.trace import net, sentences, tables, way
from headwater.report.trace.payload import Trace
from headwater.report.trace.symbols import exactly
from headwater.report.words import Words, glyph


def page(trace: Trace, words: Words) -> str:
    """The whole page."""
    main = el("main", _verdict(trace, words), *_sections(trace, words), _run(trace, words))
    run = trace.run
    meta = join(run.model, " · ", el("time", run.created[:10], datetime=run.created))
    return document(words("trace.title", model=clean(run.model)), meta, main, run.headwater, words)


def cell(trace: Trace, words: Words) -> str:
    """A compact form for a notebook: the gradient, the check and the picture."""
    parts = [_verdict(trace, words), *_pictures(trace, words, numbers=False)]
    return el("div", el("style", style()), *parts, class_="hw cell", lang=words.language)


def _verdict(trace: Trace, words: Words) -> Html:
    status = sentences.status(trace)
    told = (
        [el("p", line, class_="formula") for line in sentences.chain_formulas(trace)] if trace.kind == "chain" else []
    )
    return el(
        "section",
        el(
            "h1",
            el("span", glyph(status), class_=f"glyph {status}", aria_hidden="true"),
            sentences.headline(trace, words),
        ),
        el("p", " · ".join(sentences.facts(trace, words)), class_="facts"),
        *told,
        *[el("p", line, class_="lead") for line in _lead(trace, words)],
        class_="verdict",
        id="verdict",
    )


def _lead(trace: Trace, words: Words) -> list[str]:
    told = [sentences.descent(trace, words)] if trace.descent is not None and trace.kind == "network" else []
    if trace.layers:
        told.append(sentences.takes_most(trace, words))
    if trace.blocked is not None:
        told.append(words.say(trace.blocked))
    return [*(line for line in told if line), *sentences.precision(trace, words)]


def _sections(trace: Trace, words: Words) -> list[Html]:
    return [*_pictures(trace, words), _checks(trace, words), *tables.side_way(trace, words), *_notes(trace, words)]


def _checks(trace: Trace, words: Words) -> Html:
    """Each check with both its numbers, whatever it said."""
    caption = el("p", words("trace.checks_caption"), class_="caption")
    items = [_check_item(check, words) for check in trace.checks]
    return el(
        "section", el("h2", words("trace.checks_head")), caption, el("ul", *items, class_="checklist"), id="checks"
    )


def _check_item(check: Comparison, words: Words) -> Html:
    outcome = words.name(f"trace.outcome_{check.status}", check.status)
    sign = el("span", sentences.check_glyph(check), aria_hidden="true")
    pairs = [
        (words("trace.check_value"), exactly(check.value)),
        (words.name(f"trace.reference.{check.id}", check.id), exactly(check.reference)),
        (words("trace.check_difference"), number(check.difference)),
        (words("trace.check_limit"), number(check.tolerance)),
    ]
    return el(
        "li",
        el("p", el("span", sign, f" {outcome}", class_=f"pill outcome-{check.status}")),
        el(
            "div",
            el("b", sentences.check_name(check, words)),
            el("dl", *[el("div", el("dt", term), el("dd", value)) for term, value in pairs]),
            el("p", words.say(check.why), class_="why") if check.why is not None else None,
        ),
    )


def _pictures(trace: Trace, words: Words, numbers: bool = True) -> list[Html]:
    if trace.kind == "network":
        return [_network(trace, words, numbers)]
    if trace.kind == "layers" and not trace.layers:
        return []
    kind = trace.kind
    keys = _chain_keys(trace) if kind == "chain" else _layer_keys(trace)
    figure = el("figure", _key(keys, words), way.way_picture(trace, words)) if way.is_drawable(trace) else None
    behind = (tables.factor_table if kind == "chain" else tables.layer_table)(trace, words) if numbers else None
    head = "trace.chain_head" if kind == "chain" else "trace.layers_head"
    caption = words("trace.chain_caption" if kind == "chain" else "trace.layers_caption")
    if way.has_marks(trace):
        caption += f" {words('trace.marks_caption')}"
    own = sentences.arrival(trace, words)
    told = el("p", own, class_="note") if own else None
    return [
        el("section", el("h2", words(head)), el("p", caption, class_="caption"), figure, told, behind, id="way"),
    ]


def _chain_keys(trace: Derivation) -> list[tuple[str, str]]:
    kinds = [kind for kind in ("loss", "activation", "weight", "input") if any(f.kind == kind for f in trace.factors)]
    keys = [(f"cat-{kind}", f"key_{kind}") for kind in kinds]
    return [*keys, ("zero", "key_zero")] if any(f.log10 == -math.inf for f in trace.factors) else keys


def _layer_keys(trace: Derivation) -> list[tuple[str, str]]:
    keys = {bar.style: "" for bar in way.bars_of(trace)}
    named = {
        "cat-loss": "by_loss",
        "cat-activation": "by_activation",
        "cat-weights": "by_affine",
        "cat-normalization": "by_normalization",
        "cat-pooling": "by_pooling",
        "cat-shortcut": "by_join",
        "cat-other": "by_other",
    }
    found = [(style, named[style]) for style in named if style in keys]
    zero = [("zero", "key_zero")] if any(row.log10_ratio == -math.inf for row in trace.layers) else []
    marks = [("random", "key_random"), ("at-most", "key_largest")] if way.has_marks(trace) else []
    return [*found, *zero, *marks]


def _key(keys: list[tuple[str, str]], words: Words) -> Html:
    return el("ul", *[el("li", _mark(style), words(f"trace.{name}")) for style, name in keys], class_="key")


def _mark(style: str) -> Html:
    shapes = {
        "random": '<circle cx="12" cy="6" r="3.6" class="random"/>',
        "at-most": '<path d="M3 6h18" class="at-most"/>',
        "zero": '<path d="M5 1h14v10h-14z" class="zero"/><path d="M5 7l6-6M5 11l10-10M10 11l9-9" class="hatch-line"/>',
        "value": '<path d="M2 6h16M14 2l5 4-5 4" class="way"/>',
        "error": '<path d="M6 6h16M10 2l-5 4 5 4" class="line gradient"/>',
    }
    drawn = shapes.get(style, f'<rect x="5" y="0" width="14" height="12" class="{style}"/>')
    return el("svg", Html(drawn), xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true")


def _network(trace: Trace, words: Words, numbers: bool) -> Html:
    keys = [("value", "key_value"), ("error", "key_error")]
    figure = el("figure", _key(keys, words), net.network_picture(trace, words)) if net.is_drawable(trace) else None
    behind = [make(trace, words) for make in (tables.unit_table, tables.weight_table, tables.path_table)]
    return el(
        "section",
        el("h2", words("trace.network_head")),
        el("p", words("trace.network_caption"), class_="caption"),
        figure,
        el("p", words("trace.network_narrow"), class_="note narrow"),
        *(behind if numbers else []),
        id="network",
    )


def _notes(trace: Trace, words: Words) -> list[Html]:
    told = [*(words.say(note) for note in trace.notes), *sentences.jacobian_notes(trace, words)]
    if not told:
        return []
    items = [el("li", line) for line in told]
    return [el("section", el("h2", words("trace.notes_head")), el("ul", *items, class_="missing"), id="notes")]


def _run(trace: Trace, words: Words) -> Html:
    run = trace.run
    facts = [
        ("run_model", run.model),
        ("run_parameters", number(run.parameters)),
        ("run_trainable", number(run.trainable)),
        ("run_device", run.device),
        ("run_seed", words("report.run_no_seed") if run.seed is None else str(run.seed)),
        ("run_loss", number(trace.loss)),
        ("run_samples", number(trace.samples)),
        ("run_wall_time", words("report.seconds", value=number(run.wall_time_s))),
        ("run_created", run.created),
        ("run_headwater", run.headwater),
        ("run_torch", run.torch),
        ("run_python", run.python),
    ]
    items = [el("div", el("dt", words(f"report.{term}")), el("dd", text)) for term, text in facts]
    return el("section", details(words("report.run_head"), el("dl", *items, class_="run")), id="run")
