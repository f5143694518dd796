"""The page of statistics: what each number is, its formula, its unit, and the float64 function that defines it."""

from typing import Any

from headwater.i18n import text
from headwater.kernels import reference
from website.reference.documented import GENERATED, said_of_field, said_source, source, texts

WORDS = {
    "en": {
        "title": "Statistics",
        "lead": "Every number that a report shows, as the code defines it. Where a function of `headwater.kernels.reference` stands beside "
        "one, that slow float64 function is its definition, and the fast kernels are tested against it (`pytest tests/kernels`). "
        "NaN and Inf are counted beside the others and left out of means, never filtered out of sight. Statistics of nothing are empty.",
        "what": "statistic",
        "name": "name in reports",
        "is": "what it is",
        "formula": "formula",
        "unit": "unit",
        "defined": "defined by",
        "functions": "The definitions",
        "functions_lead": "`moments` gives the record `Moments`, of which `rms`, `norm`, `std`, `mean`, `abs_max` and the fractions are "
        "read; two of them become one by `merge`, whatever the grouping.",
        "source": "Source",
    },
    "ko": {
        "title": "통계",
        "lead": "보고서에 나오는 모든 수를 코드가 정의하는 대로 적었습니다. `headwater.kernels.reference`의 함수가 곁에 있으면 느린 float64로 쓴 "
        "그 함수가 정의이고, 빠른 커널은 그것과 견주어 시험합니다(`pytest tests/kernels`). NaN과 Inf는 따로 세며 평균에서는 빼되, 보이지 않게 "
        "걸러 내지 않습니다. 아무것도 없는 것의 통계는 비어 있습니다.",
        "what": "통계",
        "name": "보고서의 이름",
        "is": "무엇인지",
        "formula": "식",
        "unit": "단위",
        "defined": "정의",
        "functions": "정의하는 함수",
        "functions_lead": "`moments`는 `Moments` 레코드를 주며, `rms`, `norm`, `std`, `mean`, `abs_max`와 비율은 거기서 읽습니다. 둘은 "
        "어떻게 묶든 `merge`로 하나가 됩니다. 함수와 주석은 코드에 적힌 영어 그대로입니다.",
        "source": "출처",
    },
}


def page(language: str) -> str:
    """The page in one language."""
    words, known = WORDS[language], texts("statistics")
    parts = [f"# {words['title']}", GENERATED, words["lead"]]
    for group, names in known["group"].items():
        own = {id_: entry for id_, entry in known["statistic"].items() if entry["group"] == group}
        parts += [f"## {names[language == 'ko']}", _table(own, language)]
    parts += [f"## {words['functions']}", words["functions_lead"]]
    parts += [_definition(name, words["source"]) for name in referenced()]
    return "\n\n".join(parts) + "\n"


def referenced() -> list[str]:
    """The functions that define a statistic, in the order of their file."""
    named = {entry["reference"] for entry in texts("statistics")["statistic"].values() if "reference" in entry}
    return [name for name in vars(reference) if name in named]


def english(entry: dict[str, Any]) -> str:
    """What a statistic is: as its field says, or as the entry does."""
    return said_of_field(entry["field"]) if "field" in entry else str(entry["en"])


def _table(entries: dict[str, dict[str, Any]], language: str) -> str:
    words = WORDS[language]
    heads = [words[key] for key in ("what", "name", "is", "formula", "unit", "defined")]
    rows = [heads, ["---"] * len(heads), *(_row(id_, entry, language) for id_, entry in entries.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(id_: str, entry: dict[str, Any], language: str) -> list[str]:
    is_korean = language == "ko"
    formula, function = entry.get("formula", ""), entry.get("reference", "")
    return [
        f"`{id_}`",
        _cell(text(f"statistic.{id_}", language=language)),
        _cell(entry["ko"] if is_korean else english(entry)),
        f"`{_cell(formula)}`" if formula else "",
        texts("statistics")["unit"][entry["unit"]][is_korean],
        f"[`{function}`](#{function})" if function else "",
    ]


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _definition(name: str, label: str) -> str:
    function = getattr(reference, name)
    named = said_source(function)
    return f"### {name}\n\n```python title=\"headwater.kernels.reference\"\n{source(function)}\n```" + (f"\n\n{label}: {named}" if named else "")
