"""What each remedy says for itself: what it does, when it applies, when it is wrong, what it costs, whose it is."""

from dataclasses import dataclass

from headwater.i18n import has_text
from headwater.records import Message
from headwater.remedies.registry import all_remedies, find

PARTS = ("what", "applies", "wrong_when", "cost", "source")


@dataclass(frozen=True)
class Explanation:
    """A remedy in words, as message ids.

    Attributes:
        id: Of the remedy, without a strength.
        name: What it is called.
        what: What it does.
        applies: Where it can be used.
        wrong_when: When it is wrong.
        cost: What it costs.
        source: Papers and books.
        strength: What may stand behind a colon, with what its id alone stands for; ``""`` if nothing may.
        default: That default; ``None`` if there is no strength.
        needs_batch: Whether it looks at a batch first.
        is_cure: Whether it is meant against trouble; the others show what makes networks ill.
    """

    id: str
    name: Message
    what: Message
    applies: Message
    wrong_when: Message
    cost: Message
    source: Message
    strength: str
    default: float | None
    needs_batch: bool
    is_cure: bool


def explained(remedy_id: str) -> Explanation:
    """A remedy in words.

    Args:
        remedy_id: Such as ``init.he``; a strength behind a colon is passed over once it is known to be possible.

    Raises:
        InputError: If there is none; the nearest ids are offered.
    """
    find(remedy_id)
    remedy = find(remedy_id.partition(":")[0])
    strength = remedy.strength
    return Explanation(
        id=remedy.id,
        name=Message(f"remedy.{remedy.id}.name"),
        **{part: _text(remedy.id, part) for part in PARTS},
        strength=strength.meaning if strength is not None else "",
        default=strength.default if strength is not None else None,
        needs_batch=remedy.needs_data,
        is_cure=remedy.is_cure,
    )


def all_explained() -> tuple[Explanation, ...]:
    """Every remedy, in the order of the registry."""
    return tuple(map(explained, all_remedies()))


def _text(remedy_id: str, part: str) -> Message:
    """Its own text, or else its family's."""
    own, family = f"remedy.{remedy_id}.{part}", f"remedy.{remedy_id.partition('.')[0]}.{part}"
    return Message(own if has_text(own) else family)
