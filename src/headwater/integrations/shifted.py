"""A logger whose steps go on where an earlier training stopped."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from headwater.report import Report
from headwater.telling import Logger


class Shifted:
    """Tells another logger, with later step numbers.

    Args:
        logger: Whom.
        by: How many steps came before.
    """

    def __init__(self, logger: Logger, by: int) -> None:
        self._logger = logger
        self._by = by

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._logger.scalars(self._by + step, values)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        self._logger.report(self._by + step, report, files)
