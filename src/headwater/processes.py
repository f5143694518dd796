"""Work in processes of their own: spawned, ended by Ctrl-C and with their parent, and never left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Result = TypeVar("Result")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Processes that calls are handed to."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have ``function(*arguments)`` computed by a worker; both travel by pickle."""
        with _interrupts_held_back():  # a worker that starts now inherits that: Ctrl-C is for this process to answer
            return self._pool.submit(function, *arguments)


@contextmanager
def workers(
    processes: int, prepare: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[Workers]:
    """Processes that are there until the block ends; if it ends with an error, they end at once.

    Args:
        processes: How many at most.
        prepare: Called in each before anything else; it travels by pickle.
        arguments: What it is called with.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(prepare, arguments))
    try:
        yield Workers(pool)
    except BaseException:  # Ctrl-C above all: Python would wait for what is running
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def spawned(function: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A process that runs ``function(connection, *arguments)``, and the other end of the connection.

    It ends with this process, however that ends; Ctrl-C is for this process to answer.

    Args:
        function: Travels by pickle, as do its arguments.
        arguments: What it is called with behind the connection.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(function, theirs, arguments), daemon=True)
    with _interrupts_held_back():
        process.start()
    theirs.close()  # or the end of that process would not be seen here
    return process, ours


def _run(function: Callable[..., None], connection: Connection, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_outlive_parent_by_nothing, daemon=True).start()
    function(connection, *arguments)


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """In a worker: once the process that started it is gone, however it went, there is nobody to work for."""
    threading.Thread(target=_outlive_parent_by_nothing, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _outlive_parent_by_nothing() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """SIGINT waits until the block ends, where the system can make it wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
