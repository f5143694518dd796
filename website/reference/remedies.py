"""The page of remedies: what ``headwater remedies`` says of each, and which rules prescribe it."""

from collections.abc import Iterator
from itertools import groupby
from types import FunctionType

from headwater.diagnosis.rules import RULES
from headwater.i18n import has_text, text
from headwater.records import Message
from headwater.remedies.explained import PARTS, Explanation, explained
from headwater.remedies.registry import REMEDIES
from website.reference.documented import GENERATED, ending, texts
from website.reference.reach import said_by

WORDS: dict[str, dict[str, str]] = texts("words")["remedies"]


def page(language: str) -> str:
    """The page in one language."""
    words = WORDS[language]
    parts = [f"# {words['title']}", GENERATED, words["lead"]]
    for family, ids in groupby(sorted(REMEDIES, key=_family), key=_family):
        parts.append(f"## {family}")
        parts += [_remedy(explained(id_), language) for id_ in ids]
    return "\n\n".join(parts) + "\n"


def _family(id_: str) -> str:
    return id_.partition(".")[0]


def _remedy(remedy: Explanation, language: str) -> str:
    words = WORDS[language]
    said = [f"- **{words[part]}**: {_sentence(getattr(remedy, part), language)}" for part in PARTS]
    if remedy.default is not None:
        meaning = text(f"remedy.{remedy.id}.strength", language=language) if _has_strength(remedy) else remedy.strength
        behind = words["strength_is"].format(meaning=meaning, id=remedy.id, default=remedy.default)
        said.append(f"- **{words['strength']}**: {behind}.")
    if remedy.needs_batch:
        said.append(f"- {words['batch'].format(id=remedy.id)}")
    if not remedy.is_cure:
        said.append(f"- {words['no_cure']}")
    symptoms = [f"[`{symptom}`](rules{ending(language)}.md#{symptom})" for symptom in _prescribing(remedy.id)]
    if symptoms:
        said.append(f"- **{words['for']}**: {', '.join(symptoms)}.")
    return "\n\n".join([f"### {remedy.id}", f"**{_sentence(remedy.name, language)}**", "\n".join(said)])


def _sentence(message: Message, language: str) -> str:
    return text(message.id, message.values, language).replace("*", "\\*")


def _has_strength(remedy: Explanation) -> bool:
    return has_text(f"remedy.{remedy.id}.strength")


def _prescribing(id_: str) -> Iterator[str]:
    """The symptoms whose rule can prescribe it, alone or with others."""
    for rule in RULES:
        assert isinstance(rule.look, FunctionType)
        if any(id_ in ids for ids in said_by(rule.look).prescriptions):
            yield rule.symptom
