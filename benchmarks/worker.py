"""A process of its own for each arm: no arm's threads, patches or memory reach another's.

The workers live side by side and take turns, so that a machine whose speed drifts is fair to all of them.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from time import monotonic, sleep
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psutil

P = ParamSpec("P")
T = TypeVar("T")
State = dict[str, Any]  # what a worker keeps between jobs
QUIET_CPU_S = 0.005  # per POLL_S: an idle process that now and then wakes up
POLL_S = 0.05
PATIENCE_S = 20.0
LINE = 160  # characters of an error's message that are kept


class CrashError(RuntimeError):
    """An arm failed in its worker; the message is the worker's error in one line."""


class Worker:
    """A process that runs one job after another, each a function of its state."""

    def __init__(self, threads: int | None = None) -> None:
        """Start it.

        Args:
            threads: Threads for arithmetic; torch's own default if ``None``.
        """
        # Spawned, not forked: a fork inherits torch's thread pool without its threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, job: Callable[Concatenate[State, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level function over there and wait for what it returns.

        Raises:
            CrashError: If it raised, or took its process down.
        """
        try:
            self._pipe.send((job, args, kwargs))
            good, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(PATIENCE_S)
            raise CrashError(f"the process ended with status {self._process.exitcode}") from None
        if not good:
            raise CrashError(value)
        return value

    def settle(self) -> None:
        """Wait until it and its children are idle: what they do in the background is not the next arm's to pay."""
        deadline = monotonic() + PATIENCE_S
        before = self._cpu_s()
        while monotonic() < deadline:
            sleep(POLL_S)
            after = self._cpu_s()
            if after - before <= QUIET_CPU_S:
                return
            before = after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it end; a process that does not is ended."""
        with suppress(OSError):  # it may have ended already
            self._pipe.send(None)
        self._process.join(PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()

    def _cpu_s(self) -> float:
        return sum(_cpu_s(pid) for pid in self._family())

    def _family(self) -> list[int]:
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self._process.pid or 0, *(child.pid for child in children)]


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def _serve(pipe: Connection, threads: int | None) -> None:
    if threads is not None:
        # Read by numba and OpenMP when they are loaded, which is why torch comes after.
        os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)
        import torch

        torch.set_num_threads(threads)
    state: State = {}
    with suppress(EOFError, BrokenPipeError):  # whoever started us may be gone
        while (job := pipe.recv()) is not None:
            pipe.send(_outcome(state, *job))
    if "session" in state:
        state["session"].close()


def _outcome(state: State, function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[bool, Any]:
    try:
        return True, function(state, *args, **kwargs)
    except Exception as error:
        return False, _line(error)


def _line(error: Exception) -> str:
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return text if len(text) <= LINE else text[: LINE - 1] + "…"
