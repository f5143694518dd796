"""Everything that may happen to a run, in any order: no acknowledged step is ever lost, and nothing is made up."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.store import Recording, Writer
from headwater.store.layout import log_of
from headwater.store.retention import make_room
from tests.store.recording import COLUMN, FaultyDisk, begun, expected, kill, no_thread, small_logs, steps_of, tables


class Life(RuleBasedStateMachine):
    """A run's life: several starts, a disk that fails, kills, and readers in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "a"
        self.patches: list[Any] = [no_thread(), small_logs(6)]
        for patch in self.patches:
            patch.__enter__()
        self.now = 1.8e9
        self.step = 0
        self.attempted: list[int] = []
        self.acknowledged: list[int] = []
        self.alarms: list[int] = []
        self.evicted = False

    @initialize()
    def begin(self) -> None:
        self.disk = FaultyDisk()
        self.writer: Writer = begun(self.path, disk=self.disk, clock=lambda: self.now)

    def teardown(self) -> None:
        self.disk.room = None
        self.writer.close()
        for patch in reversed(self.patches):
            patch.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.5
            self.writer._retry_at = 0.0
            waiting = bool(self.writer._ring)
            self.attempted.append(self.step)
            if self.writer.step(self.step, tables(self.step)):
                self.acknowledged = self.attempted[:] if waiting else [*self.acknowledged, self.step]
            self.step += 1

    @rule()
    def alarm(self) -> None:
        self.writer._retry_at = 0.0
        if self.writer.event(self.step, "event.nonfinite", {"elements": self.step}, is_alarm=True):
            self.alarms.append(self.step)

    @rule(taken=st.integers(0, 400))
    def short_write(self, taken: int) -> None:
        self.disk.short = taken

    @rule(room=st.integers(0, 3000))
    def disk_fills(self, room: int) -> None:
        self.disk.room = room

    @rule()
    def disk_has_room(self) -> None:
        self.disk.room = self.disk.short = None

    @rule(seconds=st.floats(-1e6, 1e6))
    def clock_jumps(self, seconds: float) -> None:
        self.now += seconds

    @rule(steps=st.integers(1, 20))
    def step_goes_back(self, steps: int) -> None:
        self.step = max(0, self.step - steps)

    @rule(tail=st.binary(max_size=64), zeros=st.integers(0, 200))
    def kill_and_resume(self, tail: bytes, zeros: int) -> None:
        """What only waited in memory is gone with the process; a torn tail stands behind what was written."""
        log = self.writer._log.path
        kill(self.writer)
        self.attempted = steps_of(Recording(self.path))
        self.acknowledged = self.attempted[:]
        with log.open("ab") as file:
            file.write(tail + b"\0" * zeros)
        self.disk = FaultyDisk()
        self.writer = begun(self.path, disk=self.disk, clock=lambda: self.now)

    @rule()
    def fork(self) -> None:
        before = self.writer._log.path.stat().st_size
        pid = os.fork()
        if not pid:
            self.writer.step(10**6, tables(0))
            self.writer.close()
            os._exit(0)
        os.waitpid(pid, 0)
        assert self.writer._log.path.stat().st_size == before

    @rule()
    def seal(self) -> None:
        self.writer._keeper._beaten = 0.0
        self.writer._keeper.turn()

    @precondition(lambda self: len(self.acknowledged) > 12)
    @rule(budget=st.integers(1, 200_000))
    def evict(self, budget: int) -> None:
        make_room(self.disk, self.path, budget)
        self.evicted = True

    @rule()
    def close_and_begin_again(self) -> None:
        self.disk_has_room()
        self.writer.close()
        self.acknowledged = self.attempted[:]
        self.begin()

    @invariant()
    def a_reader_sees_what_was_acknowledged(self) -> None:
        if not hasattr(self, "writer"):
            return
        run = Recording(self.path)
        found = steps_of(run)
        assert is_within(self.acknowledged, found), "an acknowledged step is gone"
        assert is_within(found, self.attempted), "a step that nobody recorded"
        assert is_within(self.alarms, [event.step for event in run.alarms()])
        points, values = run.read(COLUMN, reduce="min")
        if not self.evicted:
            assert points.tolist() == found
        np.testing.assert_array_equal(values[0], [expected(int(step)) for step in points])
        assert all(damage.why in ("torn", "checksum") for damage in run.damage)
        assert all(log_of(path.name) for path in self.writer.folder.glob("*.hwlog"))


def is_within(some: list[int], every: list[int]) -> bool:
    """Whether the first list is the second with parts left out."""
    rest = iter(every)
    return all(step in rest for step in some)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
