"""Losses of steps that are not measured: every one that is not finite, and of the others a few a second."""

from __future__ import annotations

import math
import time

from torch import Tensor

_EVERY_S = 0.25
"""Reading a loss waits for the device; four times a second that is nothing, and a curve of a minute has 240 points."""
_SHARE = 4096  # of the time so far: a training of a week has some 30,000 points, not two million


class LossesBetween:
    """Which told losses are worth a line in the record, beside those that are written with a measured step."""

    def __init__(self) -> None:
        self._began_s = self._last_s = time.monotonic()
        self._left: tuple[int, float | Tensor] | None = None

    def told(self, step: int, loss: float | Tensor) -> float | None:
        """Hear of a loss.

        Args:
            step: Optimizer steps taken before.
            loss: A number, or a tensor with one element.

        Returns:
            Its value, if it should be written down.
        """
        now = time.monotonic()
        is_due = now - self._last_s >= max(_EVERY_S, (now - self._began_s) / _SHARE)
        if not isinstance(loss, Tensor) or loss.device.type == "cpu":  # else reading it waits for the device
            loss = float(loss)
        if not is_due and (isinstance(loss, Tensor) or math.isfinite(loss)):
            self._left = (step, loss.detach() if isinstance(loss, Tensor) else loss)
            return None
        self._last_s, self._left = now, None
        return float(loss)

    def measured(self) -> None:
        """A loss was written with its step."""
        self._last_s, self._left = time.monotonic(), None

    def last(self) -> tuple[int, float] | None:
        """The step and value of the last one, if it was not written down."""
        left, self._left = self._left, None
        return None if left is None else (left[0], float(left[1]))
