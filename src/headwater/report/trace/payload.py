"""The trace: the chain rule of one gradient with its numbers, and every form it takes."""

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from headwater.records import Derivation, RunInfo, decode
from headwater.report.face import Face
from headwater.report.files import read
from headwater.report.words import Words

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True)
class Trace(Derivation, Face):
    """The chain rule of one gradient, worked out.

    Attributes:
        run: Where and from what the trace came.
    """

    SCHEMA: ClassVar[str] = "headwater/trace/1"

    run: RunInfo

    @classmethod
    def of(cls, derivation: Derivation, run: RunInfo) -> Self:
        """A derivation with where it came from."""
        return cls(**{field.name: getattr(derivation, field.name) for field in fields(derivation)}, run=run)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The trace that ``data``, of :meth:`to_dict`, is the JSON form of."""
        return decode(cls, data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a trace saved as JSON.

        Raises:
            InputError: If there is no such file, or it is no trace.
        """
        return read(path, cls.from_dict, "trace")

    def lines(self, words: Words, width: int) -> "list[Text]":
        """Lines for a terminal, none wider than ``width`` cells nor than 100."""
        from headwater.report.trace import terminal

        return terminal.lines(self, words, width)

    def page(self, words: Words) -> str:
        """The whole HTML page."""
        from headwater.report.trace.page import page

        return page(self, words)

    def cell(self, words: Words) -> str:
        """The gradient, the check and the picture, for a notebook."""
        from headwater.report.trace.page import cell

        return cell(self, words)
