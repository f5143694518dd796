"""The answer sheet of a student: one offline HTML file, made of what the page has kept."""

from __future__ import annotations

from datetime import date
from typing import Any

from headwater import __version__
from headwater.i18n import LANGUAGES
from headwater.lab.guided import page_of
from headwater.lab.guides import GUIDES
from headwater.lab.refusal import RefusedError
from headwater.report.markup import Html, el, join
from headwater.report.words import Words

_MOST_ANSWERS = 64
_MOST_WORDS = 4000
_STYLE = """
body{font:16px/1.6 system-ui,"Apple SD Gothic Neo","Malgun Gothic","Noto Sans KR",sans-serif;
max-width:48rem;margin:2rem auto;padding:0 1rem;word-break:keep-all;overflow-wrap:anywhere;color:#111;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin:2rem 0 .3rem;border-top:1px solid #bbb;padding-top:1rem}
dt{font-weight:600;margin-top:.6rem}dd{margin:0}code{font-size:.8rem}.meta{color:#444}
section{break-inside:avoid}
"""


def sheet(body: dict[str, Any]) -> str:
    """The sheet.

    Args:
        body: ``name``, ``language`` and ``answers``; each answer has its ``lesson``, ``choice``, ``reached``, ``text``
            and ``state``.

    Raises:
        RefusedError: If these are none.
    """
    answers = body.get("answers")
    if not isinstance(answers, list) or len(answers) > _MOST_ANSWERS:
        raise RefusedError("answers", {"most": _MOST_ANSWERS})
    if not all(isinstance(one, dict) and one.get("lesson") in GUIDES for one in answers):
        raise RefusedError("answers", {"most": _MOST_ANSWERS})
    language = body.get("language")
    words = Words.of(language if language in LANGUAGES else None)
    sections = [_section(one, words) for one in answers]
    title = words("lab.engine.answers.title")
    made = words("lab.engine.answers.made", date=date.today().isoformat(), version=__version__)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        Html(f"<style>{_STYLE}</style>"),
    )
    main = el(
        "body",
        el("h1", title),
        el("p", f"{words('lab.engine.answers.name')}: {_text(body.get('name'))}"),
        el("p", made, class_="meta"),
        el("p", _count(answers, words)),
        join(*sections),
    )
    return "<!DOCTYPE html>\n" + el("html", head, main, lang=words.language) + "\n"


def _count(answers: list[dict[str, Any]], words: Words) -> str:
    asked = [one for one in answers if isinstance(one.get("choice"), int)]
    goals = [one for one in answers if isinstance(one.get("reached"), bool)]
    return words(
        "lab.engine.answers.count",
        right=sum(one["choice"] == GUIDES[one["lesson"]].answer for one in asked),
        asked=len(asked),
        reached=sum(one["reached"] for one in goals),
        goals=len(goals),
    )


def _section(answer: dict[str, Any], words: Words) -> Html:
    page = page_of(answer["lesson"])
    language = words.language

    def word(key: str) -> str:
        return words(f"lab.engine.answers.{key}")

    question, choice = page["question"], answer.get("choice")
    given = isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < len(question["choices"])
    rows: list[tuple[str, str]] = [(word("question"), question["said"][language])]
    if given:
        is_right = choice == question["answer"]
        mark = word("right") if is_right else word("wrong")
        rows.append((word("answer"), f"{question['choices'][choice][language]} ({mark})"))
    else:
        rows.append((word("answer"), word("none")))
    rows.append((word("right_answer"), question["choices"][question["answer"]][language]))
    if isinstance(answer.get("reached"), bool):
        reached = word("reached") if answer["reached"] else word("missed")
        rows.append((word("goal"), f"{page['goal']['said'][language]} ({reached})"))
    if _text(answer.get("text")):
        rows.append((word("own_words"), _text(answer.get("text"))))
    items = [el("dt", name) + el("dd", text) for name, text in rows]
    again = el("p", word("again"), " ", el("code", f"#lab={_text(answer.get('state'))}"), class_="meta")
    shown = again if _text(answer.get("state")) else Html("")
    return el("section", el("h2", page["title"][language]), el("dl", *map(Html, items)), shown)


def _text(value: Any) -> str:
    """Of what a page has kept, a text of bounded length; anything else is none."""
    return value[:_MOST_WORDS] if isinstance(value, str) else ""
