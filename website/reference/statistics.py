"""The page of statistics: what each number is, its formula, its unit, and the float64 function that defines it."""

from typing import Any

from headwater.i18n import text
from headwater.kernels import reference
from website.reference.documented import GENERATED, said_of_field, said_source, source, texts

WORDS: dict[str, dict[str, str]] = texts("words")["statistics"]


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
    heads = [words[key] for key in ("what", "is", "formula", "defined")]
    rows = [heads, ["---"] * len(heads), *(_row(id_, entry, language) for id_, entry in entries.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(id_: str, entry: dict[str, Any], language: str) -> list[str]:
    is_korean = language == "ko"
    formula, function = entry.get("formula", ""), entry.get("reference", "")
    unit = texts("statistics")["unit"][entry["unit"]][is_korean]
    return [
        f"`{id_}`<br>{_cell(text(f'statistic.{id_}', language=language))}",
        _cell(entry["ko"] if is_korean else english(entry)),
        f"`{_cell(formula)}`<br>{unit}" if formula else unit,
        f"[`{function}`](#{function})" if function else "",
    ]


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _definition(name: str, label: str) -> str:
    function = getattr(reference, name)
    named = said_source(function)
    told = [f"### {name}", f'```python title="headwater.kernels.reference"\n{source(function)}\n```']
    return "\n\n".join(told + ([f"{label}: {named}"] if named else []))
