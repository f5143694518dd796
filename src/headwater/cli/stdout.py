"""stdout carries the report and nothing else: what users' code prints goes to stderr, by whatever way it prints."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO

from headwater.records import InputError

STDOUT, STDERR = 1, 2


@contextmanager
def users_output_on_stderr() -> Iterator[None]:
    """Point ``sys.stdout`` and descriptor 1 at stderr, so that child processes and C code print there as well."""
    stdout = sys.stdout
    if not _is_descriptor(stdout, STDOUT):  # a notebook or a test has put something else there
        with redirect_stdout(sys.stderr):
            yield
        return
    stdout.flush()
    before = os.dup(STDOUT)
    _point_at_stderr()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        try:
            stdout.flush()  # of code that kept the stream from before, as `sys.__stdout__`
        finally:
            os.dup2(before, STDOUT)
            os.close(before)


def end_stdout() -> None:
    """Let nothing follow the report: what is printed while Python shuts down, by ``atexit`` or C, goes to stderr."""
    stdout = sys.__stdout__  # for a broken pipe, click puts a wrapper that hides it into `sys.stdout`
    if stdout is None or not _is_descriptor(stdout, STDOUT):
        return
    try:
        stdout.flush()
    except OSError:  # a full disk, which was told, or `| head`: what is left over goes nowhere, and no error follows
        _point_at_nothing()
    else:
        _point_at_stderr()


@contextmanager
def writing_report() -> Iterator[None]:
    """Say so where stdout does not take the report.

    Raises:
        InputError: If it is a full disk or the like; a reader that has gone is no error (``| head``).
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write to stdout: {error.strerror or error}.") from error


def _point_at_stderr() -> None:
    if _is_descriptor(sys.stderr, STDERR):
        os.dup2(STDERR, STDOUT)
    else:
        _point_at_nothing()


def _point_at_nothing() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    os.close(nowhere)


def _is_descriptor(stream: IO[str] | None, descriptor: int) -> bool:
    """Whether writing to ``stream`` is writing to ``descriptor``; ``None`` is one that was closed from the start."""
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError):  # it has none, or is closed
        return False
