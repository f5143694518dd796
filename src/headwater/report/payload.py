"""The report: everything a reader needs, and every form it takes."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.records import (
    Diagnosis,
    Finding,
    Flow,
    Proof,
    RunInfo,
    Verdict,
    WatchInfo,
    decode,
    encode,
)
from headwater.report.files import read, save_as, strict_json, with_text
from headwater.report.words import Words

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Report:
    """What was measured, what it means, and what an experiment said about the repair.

    Attributes:
        run: Where and from what the report came.
        diagnosis: The verdict and the findings.
        flow: Everything measured.
        proof: What the experiment said about the repair, ``None`` if none was run.
        watch: How the training was watched and what that cost, ``None`` for a single measurement.
    """

    SCHEMA: ClassVar[str] = "headwater/report/1"

    run: RunInfo
    diagnosis: Diagnosis
    flow: Flow
    proof: Proof | None = None
    watch: WatchInfo | None = None

    @property
    def verdict(self) -> Verdict:
        return self.diagnosis.verdict

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Worst first."""
        return self.diagnosis.findings

    def with_proof(self, proof: Proof) -> "Report":
        """The same report with what an experiment said added."""
        return replace(self, proof=proof)

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """The JSON form: the record, each message also in words, and the flow as a flat table.

        Args:
            language: ``en`` or ``ko`` for the ``text`` of messages; by default the one in force.

        Raises:
            InputError: For another language.
        """
        words = Words.of(language)
        data: dict[str, Any] = with_text(self, words)
        return {**data, "language": words.language, "table": encode(self.flow.rows())}

    def to_json(self, language: str | None = None) -> str:
        """Strict JSON: non-finite numbers are the strings ``"nan"``, ``"inf"`` and ``"-inf"``."""
        return strict_json(self.to_dict(language))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Report":
        """The report that ``data``, of :meth:`to_dict`, is the JSON form of."""
        return decode(cls, data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Report":
        """Read a report saved as JSON.

        Raises:
            InputError: If there is no such file, or it is no report.
        """
        return read(path, cls.from_dict, "report")

    def save(self, path: str | os.PathLike[str], language: str | None = None) -> Path:
        """Write the report; a reader sees the old file or the new one, never half of one.

        Args:
            path: Ends in ``.html`` for one offline page, or in ``.json``.
            language: ``en`` or ``ko``; by default the one in force.

        Raises:
            InputError: For another ending or language, or a folder that is not there.
        """

        def page() -> str:
            from headwater.report import html

            return html.page(self, Words.of(language))

        return save_as(path, page, lambda: self.to_json(language), "a report is", "report")

    def render(self, console: "Console", language: str | None = None) -> None:
        """Print the report on a rich console."""
        from headwater.report import terminal

        terminal.render(self, console, Words.of(language))

    def __str__(self) -> str:
        from headwater.report import terminal
        from headwater.report.lines import printed

        return printed(lambda width: terminal.lines(self, Words.of(None), width))

    def _repr_html_(self) -> str:
        from headwater.report import html

        return html.cell(self, Words.of(None))
