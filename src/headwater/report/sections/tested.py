"""What became of a finding when one thing was changed."""

import math

from headwater.records import Effect, Intervention
from headwater.report.markup import Html, el
from headwater.report.words import Words, glyph


def tested_section(interventions: tuple[Intervention, ...], words: Words) -> Html:
    """Each change with its outcome, what it did to the loss as a bar either side of nothing, and the numbers."""
    tried = [i for i in interventions if i.repeats]
    left_out = [f"{words.say(i.what)} ({words.say(i.why)})" for i in interventions if not i.repeats and i.why]
    return el(
        "div",
        el("h3", words("report.tested_head")),
        el("p", _lead(tried[0], words), class_="why") if tried else None,
        el("ul", *[_row(i, words) for i in tried]) if tried else None,
        el("p", words("report.tested_not", parts="; ".join(left_out)), class_="why") if left_out else None,
        class_="causes tested",
    )


def _lead(tried: Intervention, words: Words) -> str:
    return words("report.tested_lead", steps=tried.steps, repeats=tried.repeats)


def _row(tried: Intervention, words: Words) -> Html:
    mark = el("span", glyph(tried.outcome), class_=f"glyph {tried.outcome}", aria_hidden="true")
    return el(
        "li",
        el(
            "span",
            el("b", mark, " ", words.say(tried.what)),
            el("span", words.outcome(tried.outcome), class_="share"),
            class_="cause",
        ),
        _bar(shown) if (shown := tried.failed or tried.loss) is not None else None,
        el("span", " · ".join(_numbers(tried, words)), class_="why"),
    )


def _numbers(tried: Intervention, words: Words) -> list[str]:
    told = [words.say(tried.why)] if tried.why is not None else []
    told.append(words("report.tested_gone", gone=tried.gone, repeats=tried.repeats))
    effects = [effect for effect in (tried.failed, tried.loss) if effect is not None]
    return told + [words.effect(effect) for effect in effects]


def _bar(effect: Effect) -> Html:
    """How much better, to the right, or worse, to the left, as a share of the larger of both numbers."""
    larger = max(abs(effect.before), abs(effect.after))
    known = larger > 0 and math.isfinite(larger)
    share = effect.better * effect.change / larger if known else float(effect.surely_better)
    width = 50 * min(abs(share), 1.0)
    return el(
        "svg",
        el("rect", x=0, y=0, width=100, height=6, class_="track"),
        el("rect", x=float(50 if share > 0 else 50 - width), y=0, width=float(width), height=6, class_="cat-cause"),
        el("rect", x=49.8, y=0, width=0.4, height=6, class_="middle"),
        class_="bar-line",
        xmlns="http://www.w3.org/2000/svg",
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
