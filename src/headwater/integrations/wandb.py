"""Weights & Biases: the run that is active, or one by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report


class WandB:
    """Tells a run of Weights & Biases.

    The numbers go into the row that the training's own next ``run.log(...)`` completes: a row of ours would move the
    run's counter on, and what is logged at an earlier step than that is dropped. Which step they are of stands beside
    them as ``headwater/step``, by which they are drawn.

    Args:
        run: What ``wandb.init`` gave.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric("headwater/step", hidden=True)
        run.define_metric("headwater/*", step_metric="headwater/step")

    @classmethod
    def of(cls, target: Any) -> WandB | None:
        """For a run, or ``"wandb"`` for the active one.

        Raises:
            InputError: If none is active, or the package is not installed.
        """
        if target == "wandb":
            try:
                import wandb
            except ImportError as error:
                raise missing("wandb", "wandb", error) from error
            if wandb.run is None:
                raise InputError('log_to("wandb"): no run is active. Call wandb.init(project=...) first.')
            return cls(wandb.run)
        is_run = type(target).__module__.startswith("wandb.") and hasattr(target, "log_artifact")
        return cls(target) if is_run else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, "headwater/step": step}, commit=False)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        import wandb

        artifact = wandb.Artifact(f"headwater-{self._run.id}", type="report", description=report.verdict)
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)


LOGGER = WandB
