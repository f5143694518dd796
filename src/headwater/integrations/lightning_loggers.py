"""Loggers of Lightning and Fabric: they take numbers by themselves; files go by what they write to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headwater.integrations.loggers import Several, log_to
from headwater.records import InputError
from headwater.report import Report
from headwater.telling import Logger


def loggers_of(loggers: Sequence[Any]) -> Logger | None:
    """All of them as one; ``None`` if there is none."""
    return Several([LightningLogger(logger) for logger in loggers]) if loggers else None


class LightningLogger:
    """Tells a logger of Lightning's.

    Args:
        logger: Such as a ``CSVLogger``.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._logger.log_metrics(dict(values), step=step)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        for target in (self._logger, getattr(self._logger, "experiment", None)):
            with suppress(InputError):  # a logger that there is no file for here
                log_to(target).report(step, report, files)
                return
        if self._logger.save_dir is not None:
            folder = Path(getattr(self._logger, "log_dir", None) or self._logger.save_dir)
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, folder)
