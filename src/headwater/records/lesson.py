"""What a lesson showed when its experiment was run."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from headwater.records.codec import decode, encode
from headwater.records.message import Message, Value
from headwater.records.picture import Picture, Table


@dataclass(frozen=True)
class Check:
    """One thing that has to hold for the lesson's claim to hold.

    Attributes:
        what: What has to hold, in words.
        holds: Whether it does.
        value: The number that was measured, where it is one.
        low: Where it has to be at least, ``None`` for no bound.
        high: Where it has to be at most.
        interval: 95 % interval over the seeds, where there are several: it is this that has to lie within the bounds.
    """

    what: Message
    holds: bool
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class LessonResult:
    """One lesson, run.

    Attributes:
        id: Which.
        holds: Whether the claim held as the lesson states it.
        checks: What was checked, in order.
        values: Numbers that the lesson's texts have places for.
        pictures: What it looks like.
        tables: The numbers behind it.
        seeds: Random seeds it was run over; none for an experiment without chance.
        wall_time_s: Seconds it took.
    """

    SCHEMA: ClassVar[str] = "headwater/lesson/1"

    id: str
    holds: bool
    checks: tuple[Check, ...]
    values: dict[str, Value] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    seeds: tuple[int, ...] = ()
    wall_time_s: float = 0.0

    def say(self, part: str) -> Message:
        """One of the lesson's texts: ``title``, ``claim``, ``seen``, ``why`` or ``caveat``."""
        return Message(f"lesson.{self.id}.{part}", self.values)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; :meth:`from_dict` reads it back."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LessonResult":
        return decode(cls, data)
