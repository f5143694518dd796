"""A process of its own for each arm: no arm's threads, patches or memory reach another's."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE_S = 20.0
LINE = 160  # characters of an error's message that are kept


class CrashError(RuntimeError):
    """A job failed in its worker; the message is the worker's error in one line."""


class Worker:
    """A process that runs one job after another, each a function of a module."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function over there and wait for what it returns.

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

    @property
    def alive(self) -> bool:
        """Whether its process can take another job."""
        return self._process.is_alive()

    def close(self) -> None:
        """Let it end; a process that does not is ended."""
        with suppress(OSError):  # it may have ended already
            self._pipe.send(None)
        self._process.join(PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()


def _serve(pipe: Connection, threads: int | None) -> None:
    if threads is not None:
        # Read by numba and OpenMP when they are loaded, which is why torch comes after.
        os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)
        import torch

        torch.set_num_threads(threads)
    with suppress(EOFError, BrokenPipeError):  # whoever started us may be gone
        while (job := pipe.recv()) is not None:
            pipe.send(_outcome(*job))


def _outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[bool, Any]:
    try:
        return True, function(*args, **kwargs)
    except Exception as error:
        return False, _line(error)


def _line(error: Exception) -> str:
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return text if len(text) <= LINE else text[: LINE - 1] + "…"
