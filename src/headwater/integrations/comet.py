"""Comet: the experiment that is running, or one by itself, online or offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report


class Comet:
    """Tells an experiment of Comet; the report lies among its assets.

    Args:
        experiment: What ``comet_ml.start`` gave.
    """

    def __init__(self, experiment: Any) -> None:
        self._experiment = experiment

    @classmethod
    def of(cls, target: Any) -> Comet | None:
        """For an experiment, or ``"comet"`` for the running one.

        Raises:
            InputError: If none is running, or the package is not installed.
        """
        if target == "comet":
            try:
                import comet_ml
            except ImportError as error:
                raise missing("comet_ml", "comet", error) from error
            target = comet_ml.get_running_experiment()
            if target is None:
                raise InputError('log_to("comet"): no experiment is running. Call comet_ml.start(...) first.')
        is_experiment = type(target).__module__.startswith("comet_ml") and hasattr(target, "log_asset")
        return cls(target) if is_experiment else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._experiment.log_metrics(dict(values), step=step)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        for file in files:
            self._experiment.log_asset(str(file), file_name=file.name, step=step)


LOGGER = Comet
