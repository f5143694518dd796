"""Trackio: the run that is active, or one by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report


class Trackio:
    """Tells a run of Trackio.

    Args:
        run: What ``trackio.init`` gave.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    @classmethod
    def of(cls, target: Any) -> Trackio | None:
        """For a run, or ``"trackio"`` for the active one.

        Raises:
            InputError: If none is active, or the package is not installed.
        """
        if target == "trackio":
            try:
                from trackio import context_vars
            except ImportError as error:
                raise missing("trackio", "trackio", error) from error
            target = context_vars.current_run.get()
            if target is None:
                raise InputError('log_to("trackio"): no run is active. Call trackio.init(project=...) first.')
        is_run = type(target).__module__.startswith("trackio.") and hasattr(target, "log_artifact")
        return cls(target) if is_run else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        self._run.log_artifact(str(files[0].parent), name=f"headwater-{self._run.name}", type="report")


LOGGER = Trackio
