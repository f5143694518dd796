"""Whether a training gets anywhere: its first losses held against its last."""

import math
import statistics
from dataclasses import dataclass

from headwater.records import Message, Training

MIN_STEPS = 12  # losses, of which a third at each end is compared
SIGMAS = 3.0
LITTLE = 0.01  # of the first loss: less is no progress, however surely it is there


@dataclass(frozen=True)
class Progress:
    """Mean losses at both ends of a training.

    Attributes:
        first: Mean over the first third of the losses.
        last: Mean over the last third.
        noise: Standard error of their difference.
        broke: Whether a loss was NaN or Inf.
    """

    first: float
    last: float
    noise: float
    broke: bool

    @property
    def gain(self) -> float:
        """What was gained, as a share of the first loss's magnitude; negative is lost."""
        return (self.first - self.last) / abs(self.first) if self.first else 0.0

    @property
    def learns(self) -> bool:
        """Whether the loss has surely fallen, and by more than a little."""
        return not self.broke and self.first - self.last > SIGMAS * self.noise and self.gain > LITTLE

    @property
    def worsens(self) -> bool:
        """Whether the loss has surely risen, and by more than a little, or is no number any more."""
        return self.broke or (self.last - self.first > SIGMAS * self.noise and self.gain < -LITTLE)


def progress(training: Training | None) -> Progress | None:
    """How a training went, ``None`` if too few losses are known."""
    losses = training.losses() if training is not None else []
    if len(losses) < MIN_STEPS:
        return None
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < len(losses):
        known = finite or [math.nan]
        return Progress(known[0], known[-1], 0.0, True)
    part = len(losses) // 3
    first, last = losses[:part], losses[-part:]
    noise = math.sqrt((statistics.variance(first) + statistics.variance(last)) / part)
    return Progress(statistics.fmean(first), statistics.fmean(last), noise, False)


def needs_steps(training: Training | None) -> Message | None:
    """For rules that read the course of a training: why there is none."""
    return None if progress(training) is not None else Message("unchecked.no_steps")
