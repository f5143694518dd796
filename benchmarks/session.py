"""One network in training with one arm attached, timed step by step."""

import gc
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.models import Case
from benchmarks.peers import Arm

SEED = 0
FIRST_STEPS, FIRST_S = 5, 15.0
MOST_EVENTS = 10


@dataclass(frozen=True)
class Opening:
    """What it took until training went at its usual pace: seconds to attach, and of the first steps."""

    attach_s: float
    steps_s: list[float]

    @property
    def step_s(self) -> float:
        """What a step usually takes."""
        return statistics.median(self.steps_s[1:])


@dataclass(frozen=True)
class Steps:
    """Seconds of each step, and whether headwater sampled it (``None`` where the arm does not say)."""

    seconds: list[float]
    sampled: list[bool] | None


class Session:
    """A model, its optimizer and what watches them. The same seed gives every arm the same training."""

    def __init__(self, case: Case, arm: Arm) -> None:
        """Build, attach and take the first steps, before any that count."""
        torch.manual_seed(SEED)
        self._training = case.build()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-bench-")))
        try:
            start = perf_counter()
            attached = arm.attached(self._training.model, self._training.optimizer, folder)
            self._after_step = self._stack.enter_context(attached)
            self._attached = self._stopped = perf_counter()
            self._idle_s = 0.0
            self.opening = Opening(self._attached - start, self._first_steps())
        except BaseException:
            self._stack.close()
            raise

    def run(self, count: int) -> Steps:
        """Train for ``count`` steps."""
        self._idle_s += perf_counter() - self._stopped
        seconds, sampled, before = [], [], self.sampled
        for _ in range(count):
            seconds.append(self._step())
            after = self.sampled
            sampled.append(after != before)
            before = after
        self._stopped = perf_counter()
        return Steps(seconds, sampled if before is not None else None)

    @property
    def sampled(self) -> int | None:
        """Steps that headwater says it has sampled; ``None`` for other arms."""
        watch = getattr(self._after_step, "watch", None)
        return None if watch is None else watch.sampled

    @property
    def own_overhead(self) -> float | None:
        """The share of extra time that headwater itself says it took; ``None`` for other arms.

        It counts the time from step to step, and so takes the pauses in which other arms had their turn for training;
        they are taken out again.
        """
        watch = getattr(self._after_step, "watch", None)
        if watch is None:
            return None
        elapsed_s = self._stopped - self._attached
        cost_s = elapsed_s * watch.overhead / (1 + watch.overhead)
        return cost_s / (elapsed_s - self._idle_s - cost_s)

    @property
    def events(self) -> list[str] | None:
        """What headwater noted while it watched, a failure of its own for one; ``None`` for other arms."""
        watch = getattr(self._after_step, "watch", None)
        return None if watch is None else [str(event) for event in watch.events[:MOST_EVENTS]]

    @property
    def parameters(self) -> int:
        """Number of the model's weights."""
        return sum(parameter.numel() for parameter in self._training.model.parameters())

    def close(self) -> None:
        """Detach, and delete what the arm wrote."""
        self._stack.close()
        del self._training, self._after_step
        gc.collect()

    def _first_steps(self) -> list[float]:
        """Five steps, or two that take long."""
        seconds = self.run(2).seconds
        while len(seconds) < FIRST_STEPS and sum(seconds) < FIRST_S:
            seconds += self.run(1).seconds
        return seconds

    def _step(self) -> float:
        training = self._training
        start = perf_counter()
        training.optimizer.zero_grad()
        loss = training.loss()
        loss.backward()
        training.optimizer.step()
        self._after_step(loss)
        return perf_counter() - start
