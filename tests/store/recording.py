"""Runs whose every number follows from its step, and a disk that fails when it is told to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from headwater.store import Recording, Writer
from headwater.store import keeper as keeper_module
from headwater.store import writer as writer_module
from headwater.store.columns import GROUPS, Group
from headwater.store.disk import Bytes, Disk
from headwater.store.layout import START_FILE, checked, with_checksum, write_whole
from headwater.store.payloads import Table

SITES = ("0", "1", "2")
PARAMETERS = ("0.weight", "2.bias")
COLUMN = "activation_rms"


def tables(step: int) -> dict[Group, Table]:
    """What step ``step`` shows: every number says which step, row and column it is of."""
    rows = {"sites": len(SITES), "parameters": len(PARAMETERS), "course": 1}
    found = {}
    for group, columns in GROUPS.items():
        row, column = np.meshgrid(np.arange(rows[group]), np.arange(len(columns)), indexing="ij")
        found[group] = step * 1000.0 + row * 100 + column
    return found


def expected(step: int, row: int = 0, name: str = COLUMN, group: Group = "sites") -> float:
    return step * 1000.0 + row * 100 + GROUPS[group].index(name)


def begun(path: Path, **settings: Any) -> Writer:
    """A writer that knows its rows."""
    writer = Writer(path, {"model": "Sequential"}, **settings)
    writer.add_rows("sites", [{"name": name, "order": order, "op": "Linear"} for order, name in enumerate(SITES)])
    writer.add_rows("parameters", [{"name": name, "shape": [2, 2]} for name in PARAMETERS])
    return writer


def record(writer: Writer, steps: range) -> list[int]:
    """Record steps; gives those that were acknowledged."""
    return [step for step in steps if writer.step(step, tables(step), loss=1.0 / (step + 1))]


def steps_of(run: Recording) -> list[int]:
    return [int(step) for step in run.course()["update_ratio"].steps]


def assert_right(run: Recording, steps: list[int]) -> None:
    """The run holds at least these steps, and whatever it holds is what was recorded under that step."""
    found = steps_of(run)
    missing = sorted(set(steps) - set(found))
    assert not missing, f"acknowledged and gone: {missing}"
    for row, name in enumerate(SITES):
        points, values = run.read(COLUMN, sites=[name], reduce="min")  # of a run of steps, its first one's
        np.testing.assert_array_equal(values[0], [expected(int(step), row) for step in points])
    points, values = run.read_parameters("grad_norm", reduce="min")
    for row in range(len(PARAMETERS)):
        wanted = [expected(int(step), row, "grad_norm", "parameters") for step in points]
        np.testing.assert_array_equal(values[row], wanted)


@contextmanager
def small_logs(steps: int = 16) -> Iterator[None]:
    """Logs are full after so many steps."""
    with mock.patch.multiple(writer_module, LOG_STEPS=steps, _ALIGNED=1):
        yield


@contextmanager
def no_thread() -> Iterator[None]:
    """The keeper does nothing by itself; ``writer._keeper.turn()`` lets it."""
    with mock.patch.object(keeper_module.Keeper, "start", lambda self: self._attempt(lambda: self._beat("running"))):
        yield


def kill(writer: Writer) -> None:
    """What kill -9 leaves of a writer: its files as they are, and nothing that writes."""
    writer._is_closed = True
    writer_module._writers.discard(writer)
    keeper = writer._keeper
    with mock.patch.object(keeper, "turn"):
        keeper.finish(wait_s=10.0)
    os.close(writer._log.descriptor)
    who = checked((writer.folder / START_FILE).read_bytes())
    who["pid_started"] = "1"  # or this process, which goes on, would be taken for the writer
    write_whole(Disk(), writer.folder / START_FILE, with_checksum(who))


class FaultyDisk(Disk):
    """A disk with so much room, on which the call ``fail_at`` fails.

    Attributes:
        calls: Names of the calls so far.
        fail_at: The number of the call that fails, from 1.
        room: Bytes it still takes; ``None`` for any number.
        short: Bytes that the next write takes, whatever it is given.
        error: What a failing call says.
    """

    def __init__(self, fail_at: int = 0, room: int | None = None, error: int = errno.EIO) -> None:
        self.calls: list[str] = []
        self.fail_at = fail_at
        self.room = room
        self.short: int | None = None
        self.error = error
        self.fails: Callable[[str], bool] = lambda name: False

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fail_at or self.fails(name):
            raise OSError(self.error, os.strerror(self.error))

    def create(self, path: Path, mode: int) -> int:
        self._call("create")
        return super().create(path, mode)

    def write(self, descriptor: int, data: Bytes) -> int:
        self._call("write")
        view = memoryview(data)
        if self.short is not None:
            view, self.short = view[: self.short], None
        if self.room is not None:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = view[: self.room]
            self.room -= len(view)
        return super().write(descriptor, view) if len(view) else 0

    def write_all(self, descriptor: int, pieces: Sequence[Bytes]) -> int:
        return self.write(descriptor, b"".join(pieces))

    def open_end(self, path: Path) -> int:
        self._call("open_end")
        return super().open_end(path)

    def truncate(self, descriptor: int, length: int) -> None:
        self._call("truncate")
        super().truncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        self._call("sync")

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        super().unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        self._call("mkdir")
        super().mkdir(path, mode)

    def sync_folder(self, path: Path) -> None:
        """Not waited for: tests need no disk that survives a power failure."""
