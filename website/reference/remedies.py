"""The page of remedies: what ``headwater remedies`` says of each, and which rules prescribe it."""

from collections.abc import Iterator
from itertools import groupby
from types import FunctionType

from headwater.diagnosis.rules import RULES
from headwater.i18n import has_text, text
from headwater.records import Message
from headwater.remedies.explained import PARTS, Explanation, explained
from headwater.remedies.registry import REMEDIES
from website.reference.documented import GENERATED
from website.reference.reach import said_by

WORDS = {
    "en": {
        "title": "Remedies",
        "lead": "Every change that headwater can make to a model, an optimizer, a loss or data: `hw.apply(model, ID)` makes it on a copy, "
        "`hw.prove(experiment, ID)` and `headwater prove` put it to the proof, and `headwater remedies ID` says what stands here. Those that a "
        "finding calls for are told with it; which one really helps, only a proof says.",
        "what": "What it does",
        "applies": "Where it applies",
        "wrong_when": "When it is wrong",
        "cost": "What it costs",
        "source": "Source",
        "strength": "Behind a colon",
        "strength_is": "{meaning}; the id alone means `{id}:{default:g}`",
        "batch": "It looks at a batch first: `hw.apply(model, \"{id}\", optimizer, batches=[batch], loss=loss)`.",
        "no_cure": "No cure: it is there to show what makes a network ill, and a proof never draws it.",
        "for": "Prescribed for",
    },
    "ko": {
        "title": "처방",
        "lead": "headwater가 모델, 옵티마이저, 손실, 데이터에 할 수 있는 모든 변경입니다. `hw.apply(model, ID)`는 복사본에 변경하고, "
        "`hw.prove(experiment, ID)`와 `headwater prove`는 증명에 부치며, `headwater remedies ID`는 여기 적힌 것을 말해 줍니다. 발견이 요구하는 처방은 발견과 함께 "
        "나오지만, 어느 것이 정말 듣는지는 증명만이 말합니다.",
        "what": "하는 일",
        "applies": "쓸 수 있는 곳",
        "wrong_when": "맞지 않을 때",
        "cost": "드는 값",
        "source": "출처",
        "strength": "콜론 뒤",
        "strength_is": "{meaning}. id만 쓰면 `{id}:{default:g}`입니다",
        "batch": "먼저 배치를 봅니다: `hw.apply(model, \"{id}\", optimizer, batches=[batch], loss=loss)`.",
        "no_cure": "치료가 아닙니다. 무엇이 신경망을 병들게 하는지 보여 주기 위한 것이고, 증명은 이것을 뽑지 않습니다.",
        "for": "처방하는 증상",
    },
}


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
    symptoms = [f"[`{symptom}`](rules.md#{symptom})" for symptom in _prescribing(remedy.id)]
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
