"""``log_to``: a logger that somebody uses already, told what a watch measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from headwater import plugins
from headwater.records import InputError
from headwater.report import Report
from headwater.telling import Logger

# Each file has a class LOGGER with `of(target)`, and imports its framework only where a target is of it.
BUILT_IN = ("tensorboard", "wandb", "mlflow", "trackio", "comet")


def log_to(target: Any, *more: Any) -> Logger:
    """What ``hw.watch(model, optimizer, logger=...)`` takes, made of a logger that is in use already.

    Args:
        target: A ``SummaryWriter`` or its folder, a run of Weights & Biases, MLflow or Trackio, an experiment of
            Comet; or one of ``"wandb"``, ``"mlflow"``, ``"trackio"`` and ``"comet"`` for the one that is active; or
            any object with ``scalars`` and ``report`` (``headwater.telling.Logger``).
        *more: Further ones, to tell all of them.

    Raises:
        InputError: If it is none of those, or no run is active; the message has the corrected call.
    """
    found = [_logger(one) for one in ([*target] if isinstance(target, (list, tuple)) else [target]) + [*more]]
    return found[0] if len(found) == 1 else Several(found)


def _logger(target: Any) -> Logger:
    if isinstance(target, Logger) and not isinstance(target, type):
        return target
    for kind in (*(import_module(f"headwater.integrations.{name}").LOGGER for name in BUILT_IN), *_foreign()):
        logger: Logger | None = kind.of(target)
        if logger is not None:
            return logger
    raise InputError(
        f"log_to({target if isinstance(target, str) else type(target).__name__!r}) knows no such logger; there are "
        f"{', '.join(BUILT_IN)}: log_to(SummaryWriter('logs/a')), log_to(wandb.init(...)), log_to('mlflow')."
    )


@cache
def _foreign() -> tuple[Any, ...]:
    """The loggers that plugins bring (``headwater.loggers``): classes with ``of(target)``, as ours are."""
    return tuple(kind for _, kind in plugins.loaded("loggers", type, lambda kind: kind.__name__, ()))


class Several:
    """Tells several loggers; one that fails costs the others nothing."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = tuple(loggers)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._all(lambda logger: logger.scalars(step, values))

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        self._all(lambda logger: logger.report(step, report, files))

    def _all(self, tell: Any) -> None:
        failed: Exception | None = None
        for logger in self.loggers:
            try:
                tell(logger)
            except Exception as error:
                failed = error
        if failed is not None:
            raise failed
