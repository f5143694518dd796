"""MLflow: the run that is active, or one by itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report


class MLflow:
    """Tells a run of MLflow; the report lies among its artifacts, under ``headwater/``.

    Args:
        run_id: Which.
        client: An ``MlflowClient``; by default one of the tracking server in force.

    Raises:
        InputError: If the package is not installed.
    """

    def __init__(self, run_id: str, client: Any = None) -> None:
        try:
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise missing("mlflow", "mlflow", error) from error
        self._run_id, self._metric = run_id, Metric
        self._client = MlflowClient() if client is None else client

    @classmethod
    def of(cls, target: Any) -> MLflow | None:
        """For a run, ``"mlflow"`` for the active one, or a logger of Lightning's that writes to one.

        Raises:
            InputError: If none is active.
        """
        if target == "mlflow":
            try:
                import mlflow
            except ImportError as error:
                raise missing("mlflow", "mlflow", error) from error
            target = mlflow.active_run()
            if target is None:
                raise InputError('log_to("mlflow"): no run is active. Write it inside `with mlflow.start_run():`.')
        is_run = type(target).__module__.startswith("mlflow.") and hasattr(target, "info")
        if is_run:
            return cls(target.info.run_id)
        is_lightning = type(target).__name__ == "MLFlowLogger" and hasattr(target, "run_id")
        return cls(target.run_id, target.experiment) if is_lightning else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        for file in files:
            self._client.log_artifact(self._run_id, str(file), "headwater")


LOGGER = MLflow
