"""One network in training, timed step by step, with arms that come and go."""

import gc
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep
from typing import Any

import psutil
import torch

from benchmarks.models import Case
from benchmarks.peers import Arm
from benchmarks.peers.bare import nothing

SEED = 0
MOST_EVENTS = 10
IDLE_SHARE = 0.1  # of a core
POLL_S, PATIENCE_S = 0.05, 20.0


@dataclass(frozen=True)
class Steps:
    """Seconds of each step, and whether headwater sampled it (``None`` where the arm does not say)."""

    seconds: list[float]
    sampled: list[bool] | None


class Session:
    """A model and its optimizer; the same seed gives every arm the same training."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(SEED)
        self._training = case.build()
        self._after_step: Callable[[torch.Tensor], None] = nothing
        self._stack = ExitStack()

    def attach(self, arm: Arm) -> float:
        """Attach an arm, with a folder of its own to write to; gives the seconds it took."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-bench-")))
        start = perf_counter()
        attached = arm.attached(self._training.model, self._training.optimizer, folder)
        self._after_step = self._stack.enter_context(attached)
        return perf_counter() - start

    def detach(self) -> None:
        """Take the arm off, delete what it wrote, and wait until what it left running has ended."""
        self._after_step = nothing
        self._stack.close()
        gc.collect()
        self.settle()

    def run(self, count: int) -> Steps:
        """Train for ``count`` steps."""
        seconds, sampled, before = [], [], self.sampled
        for _ in range(count):
            seconds.append(self._step())
            after = self.sampled
            sampled.append(after != before)
            before = after
        return Steps(seconds, sampled if before is not None else None)

    def settle(self) -> None:
        """Wait until nothing is left running in the background, here or in child processes: a later step would pay."""
        deadline = monotonic() + PATIENCE_S
        before = _cpu_s()
        while monotonic() < deadline:
            sleep(POLL_S)
            after = _cpu_s()
            if after - before <= IDLE_SHARE * POLL_S:
                return
            before = after

    @property
    def parameters(self) -> int:
        """Number of the model's weights."""
        return sum(parameter.numel() for parameter in self._training.model.parameters())

    @property
    def sampled(self) -> int | None:
        """Steps that headwater says it has sampled; ``None`` for other arms."""
        return None if self._watch is None else self._watch.sampled

    @property
    def own_overhead(self) -> float | None:
        """The share of extra time that headwater itself says it took; ``None`` for other arms."""
        return None if self._watch is None else self._watch.overhead

    @property
    def events(self) -> list[str] | None:
        """What headwater noted while it watched, a failure of its own for one; ``None`` for other arms."""
        return None if self._watch is None else [str(event) for event in self._watch.events[:MOST_EVENTS]]

    @property
    def _watch(self) -> Any:
        return getattr(self._after_step, "watch", None)

    def _step(self) -> float:
        training = self._training
        start = perf_counter()
        training.optimizer.zero_grad()
        loss = training.loss()
        loss.backward()
        training.optimizer.step()
        self._after_step(loss)
        return perf_counter() - start


def _cpu_s() -> float:
    """Processor seconds of this process and its children so far."""
    total = process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue  # it has just ended
        total += times.user + times.system
    return total
