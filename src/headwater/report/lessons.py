"""Lessons that were run, and every form in which they are shown: terminal text, JSON and one HTML page."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.i18n import has_text, number
from headwater.records import decode
from headwater.records.lesson import Check, LessonResult
from headwater.report.files import save_as, strict_json, with_text
from headwater.report.names import clean
from headwater.report.words import Words

if TYPE_CHECKING:
    from rich.console import Console

PARTS = ("title", "claim", "seen", "why", "caveat")


@dataclass(frozen=True)
class LessonsReport:
    """What lessons showed.

    Attributes:
        results: In the order they were asked for.
        headwater: Version of headwater.
        torch: Version of PyTorch.
        created: UTC time, ISO 8601, to the second.
        wall_time_s: Seconds that running them took, less than their own sum where several ran side by side.
    """

    SCHEMA: ClassVar[str] = "headwater/lessons/1"

    results: tuple[LessonResult, ...]
    headwater: str = ""
    torch: str = ""
    created: str = ""
    wall_time_s: float = 0.0

    @property
    def held(self) -> int:
        """How many claims held."""
        return sum(result.holds for result in self.results)

    @property
    def holds(self) -> bool:
        """Whether all did."""
        return self.held == len(self.results)

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """The JSON form: each result, its messages also in words, and the lesson's own texts.

        Args:
            language: ``en`` or ``ko`` for texts; by default the one in force.

        Raises:
            InputError: For another language.
        """
        words = Words.of(language)
        data: dict[str, Any] = with_text(self, words)
        for result, encoded in zip(self.results, data["results"], strict=True):
            encoded["texts"] = texts(result, words)
        return {**data, "holds": self.holds, "language": words.language}

    def to_json(self, language: str | None = None) -> str:
        """Strict JSON: non-finite numbers are the strings ``"nan"``, ``"inf"`` and ``"-inf"``."""
        return strict_json(self.to_dict(language))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LessonsReport":
        """The report that ``data``, of :meth:`to_dict`, is the JSON form of."""
        return decode(cls, data)

    def save(self, path: str | os.PathLike[str], language: str | None = None) -> Path:
        """Write the lessons; a reader sees the old file or the new one, never half of one.

        Args:
            path: Ends in ``.html`` for one offline page, or in ``.json``.
            language: ``en`` or ``ko``; by default the one in force.

        Raises:
            InputError: For another ending or language, or a folder that is not there.
        """

        def page() -> str:
            from headwater.report import lessons_page

            return lessons_page.page(self, Words.of(language))

        return save_as(path, page, lambda: self.to_json(language), "lessons are", "report")

    def render(self, console: "Console", language: str | None = None, in_full: bool | None = None) -> None:
        """Print the lessons on a rich console.

        Args:
            console: Where to.
            language: ``en`` or ``ko``; by default the one in force.
            in_full: Each lesson with its texts, or all of them as a table; by default as a table where they are many.
        """
        from headwater.report import lessons_terminal

        lessons_terminal.render(self, console, Words.of(language), in_full)


def texts(result: LessonResult, words: Words) -> dict[str, str | None]:
    """What a lesson says, ``None`` for what it has nothing to say of."""
    return {part: text(result, part, words) for part in PARTS}


def text(result: LessonResult, part: str, words: Words) -> str | None:
    """One of a lesson's texts, ``None`` where it has none."""
    message = result.say(part)
    return words.say(message) if has_text(message.id) else None


def named(result: LessonResult, words: Words) -> str:
    """A lesson's title, or its id where no catalogue knows it."""
    return text(result, "title", words) or clean(result.id)


def status(holds: bool) -> str:
    """Whose glyph, colour and word (``lessons.<status>``) tell whether something holds."""
    return "held" if holds else "not_held"


def leading(result: LessonResult) -> Check | None:
    """The check whose number stands for the lesson: the first that does not hold, else the first with a number."""
    with_number = [check for check in result.checks if check.value is not None]
    return next((check for check in with_number if not check.holds), next(iter(with_number), None))


def seconds(result: LessonResult) -> str:
    """How long it took; never nothing."""
    return f"{max(result.wall_time_s, 0.1):.1f}"


def bounds(check: Check, words: Words) -> str:
    """Where a number had to lie, in a few letters; empty where it is no number."""
    low, high = check.low, check.high
    if low is None and high is None:
        return ""
    if high is None:
        # An effect over seeds has to be there: `Texts.over_seeds` leaves 0 itself out.
        return words("lessons.above" if low == 0 and check.interval else "lessons.at_least", low=number(low))
    if low is None:
        return words("lessons.at_most", high=number(high))
    if low == high:
        return words("lessons.exactly", value=number(low))
    if number(low) == number(high):
        return words("lessons.about", middle=number((low + high) / 2), half=number((high - low) / 2))
    return words("lessons.between", low=number(low), high=number(high))


def interval(check: Check, words: Words) -> str:
    """The 95 % interval; empty where there is none."""
    if check.interval is None:
        return ""
    return words("lessons.between", low=number(check.interval[0]), high=number(check.interval[1]))
