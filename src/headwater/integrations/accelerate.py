"""Accelerate: ``with watch(accelerator, model, optimizer) as watched:`` around the loop that it runs in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from headwater.integrations.attached import torch_optimizer
from headwater.integrations.loggers import log_to
from headwater.records import InputError
from headwater.report import Report
from headwater.telling import Logger
from headwater.watching import Watch
from headwater.watching import watch as _watch


def watch(accelerator: Any, model: nn.Module, optimizer: Any, **options: Any) -> Watch:
    """``hw.watch`` for what ``accelerator.prepare`` gave.

    Steps are those that the optimizer really takes: with ``accelerator.accumulate`` one per several batches, and none
    that the gradient scaler skips. Gradients are unscaled; call ``watched.gradients_ready(optimizer.optimizer)`` in
    front of ``accelerator.clip_grad_norm_`` for those before clipping.

    Args:
        accelerator: The ``Accelerator``.
        model: Prepared by it.
        optimizer: Prepared by it; one or several.
        **options: Those of ``hw.watch``. ``logger`` is by default the accelerator's trackers.

    Raises:
        InputError: If something handed over cannot be used.
    """
    if not hasattr(accelerator, "unwrap_model"):
        raise InputError(
            f"the first argument is the Accelerator, got {type(accelerator).__name__}: "
            "watch(accelerator, model, optimizer)."
        )
    several = optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]
    trackers = [_told(tracker) for tracker in accelerator.trackers if accelerator.is_main_process]
    logger = options.get("logger", trackers or None)
    options = {"scaler": accelerator.scaler, **options, "logger": None if logger is None else log_to(logger)}
    inner = accelerator.unwrap_model(model, keep_torch_compile=False)
    return _watch(inner, [torch_optimizer(one) for one in several], **options)


def _told(tracker: Any) -> Logger:
    try:
        return log_to(tracker.tracker)
    except InputError:  # a tracker that there is no file for here
        return Tracker(tracker)


class Tracker:
    """Tells a tracker of Accelerate's by what all of them can do, which is to take numbers."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._tracker.log(dict(values), step=step)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        self._tracker.log({"headwater/findings": len(report.findings)}, step=step)
