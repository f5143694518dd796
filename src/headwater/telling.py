"""What a watch tells the logger that somebody uses already: six numbers per measured step, and the report at the end.

Nothing that goes wrong in a logger reaches the training: three failures, and it is told no more.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from headwater.probes.activation_window import ActivationWindow
from headwater.probes.sampled_step import SampledStep
from headwater.records import InputError
from headwater.report import Report

SCALARS = (
    "log10_gradient",
    "log10_gradient_first_to_last",
    "update_ratio",
    "gradient_cosine",
    "dead_fraction",
    "nonfinite",
)
"""What is told of a measured step, under ``headwater/``; what a step does not show is left out.

``log10_gradient``: log₁₀ of the rms of all parameters' gradients. ``log10_gradient_first_to_last``: decades between the
gradient at the first site and at the last; far below 0 it vanishes, far above it explodes. ``update_ratio``: ‖Δw‖/‖w‖
over all weights. ``gradient_cosine``: of the gradient with that of the step before. ``dead_fraction``: of the site with
most dead units, over the watch's window. ``nonfinite``: elements that are NaN or Inf.
"""

_PATIENCE = 3  # failures of a logger after which it is told no more


@runtime_checkable
class Logger(Protocol):
    """What a logger has to be able to do; ``headwater.integrations.log_to`` makes one of your own."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take numbers by name, such as ``headwater/update_ratio``; NaN and Inf are among them as they are."""

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        """Keep the report, and its ``headwater-report.html`` and ``.json``, which are there until Python ends."""


class Told:
    """Tells a logger of a watch.

    Args:
        logger: Whom.

    Raises:
        InputError: If it is no logger; the message has the corrected call.
    """

    def __init__(self, logger: Logger) -> None:
        if not isinstance(logger, Logger):
            raise InputError(
                f"logger={type(logger).__name__} cannot be told anything: "
                "hw.watch(model, optimizer, logger=log_to(writer)), with `from headwater.integrations import log_to`."
            )
        self._logger = logger
        self._failures = 0

    @property
    def _is_silent(self) -> bool:
        """After too many failures, and in the processes beside the first of a training."""
        distributed = torch.distributed
        beside = distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0
        return beside or self._failures >= _PATIENCE

    def step(self, step: SampledStep, window: ActivationWindow) -> None:
        """A step has been measured.

        Raises:
            Exception: Whatever the logger raises.
        """
        if self._is_silent:
            return
        self._failures += 1
        self._logger.scalars(step.number, {f"headwater/{name}": value for name, value in scalars(step, window).items()})
        self._failures -= 1

    def report(self, step: int, report: Report) -> None:
        """The watch has ended.

        Raises:
            Exception: Whatever the logger raises.
        """
        if self._is_silent:
            return
        folder = Path(tempfile.mkdtemp(prefix="headwater-"))
        atexit.register(
            shutil.rmtree, folder, ignore_errors=True
        )  # loggers may read the files long after they got them
        files = [report.save(folder / f"headwater-report.{ending}") for ending in ("html", "json")]
        self._logger.report(step, report, files)


def scalars(step: SampledStep, window: ActivationWindow) -> dict[str, float]:
    """The numbers of :data:`SCALARS` that a step shows."""
    short = step.in_short()
    found = {
        "log10_gradient": short.log10_gradient,
        "log10_gradient_first_to_last": step.log10_first_to_last(),
        "update_ratio": short.update_ratio,
        "gradient_cosine": short.gradient_cosine,
        "dead_fraction": window.largest_dead_fraction(),
        "nonfinite": float(step.nonfinite()),
    }
    return {name: value for name in SCALARS if (value := found[name]) is not None}
