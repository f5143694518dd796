"""What an answer of headwater's can do: be printed, saved as a page or as JSON, and be shown in a notebook."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.report.files import save_as, strict_json, with_text
from headwater.report.lines import print_lines, printed
from headwater.report.words import Words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class Face(ABC):
    """Faces of a record; whoever inherits this says what the lines and the page are."""

    @abstractmethod
    def lines(self, words: Words, width: int) -> "Iterable[Text]":
        """The lines for a terminal so wide."""

    @abstractmethod
    def page(self, words: Words) -> str:
        """The whole HTML page."""

    @abstractmethod
    def cell(self, words: Words) -> str:
        """A compact form for a notebook."""

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """The JSON form: the record, with each message also in words.

        Args:
            language: ``en`` or ``ko`` for the ``text`` of messages; by default the one in force.

        Raises:
            InputError: For another language.
        """
        words = Words.of(language)
        data: dict[str, Any] = with_text(self, words)
        return {**data, "language": words.language}

    def to_json(self, language: str | None = None) -> str:
        """Strict JSON: non-finite numbers are the strings ``"nan"``, ``"inf"`` and ``"-inf"``."""
        return strict_json(self.to_dict(language))

    def save(self, path: str | os.PathLike[str], language: str | None = None) -> Path:
        """Write it; a reader sees the old file or the new one, never half of one.

        Args:
            path: Ends in ``.html`` for one offline page, or in ``.json``.
            language: ``en`` or ``ko``; by default the one in force.

        Raises:
            InputError: For another ending or language, or a folder that is not there.
        """
        kind = type(self).__name__.lower()
        page, data = lambda: self.page(Words.of(language)), lambda: self.to_json(language)
        return save_as(path, page, data, f"a {kind} is", kind)

    def render(self, console: "Console", language: str | None = None) -> None:
        """Print it on a rich console."""
        print_lines(self.lines(Words.of(language), console.width), console)

    def __str__(self) -> str:
        return printed(lambda width: self.lines(Words.of(None), width))

    def _repr_html_(self) -> str:
        return self.cell(Words.of(None))
