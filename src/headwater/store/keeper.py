"""The thread beside the training: syncs, beats, seals and makes room. Nothing of it may ever reach the training."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.store.disk import Disk
from headwater.store.layout import (
    FLOWS_FOLDER,
    HEARTBEAT_FILE,
    ROWS_FILE,
    file_mode,
    folder_mode,
    with_checksum,
    write_whole,
)
from headwater.store.log import Log

if TYPE_CHECKING:
    from headwater.store.writer import Writer

BEAT_S = 1.0
"""Seconds between two syncs: what a power failure may take."""
WATCH_FILE = "watch.json"
_PATIENCE = 3  # failures of sealing one log after which it stays a log, which is as readable


class Keeper:
    """Runs once a second while the writer is there.

    Args:
        writer: Whose files.
        disk: Makes the calls.
        budget: Bytes the run may take.
    """

    def __init__(self, writer: Writer, disk: Disk, budget: int) -> None:
        self.facts: dict[str, Any] = {}
        self.problems: list[str] = []
        self._writer = writer
        self._disk = disk
        self._budget = budget
        self._wake = threading.Event()
        self._ends = threading.Event()
        self._full: list[Log] = []
        self._failures: dict[Path, int] = {}
        self._flows: dict[str, Any] = {}
        self._told_facts: dict[str, Any] = {}
        self._beaten = 0.0
        self._heart = -1
        self._heart_folder: Path | None = None
        self._thread = threading.Thread(target=self._run, name="headwater-keeper", daemon=True)

    def start(self) -> None:
        self._attempt(lambda: self._beat("running"))
        self._thread.start()

    def wake(self) -> None:
        """There is something to write."""
        self._wake.set()

    def seal(self, log: Log) -> None:
        """A log is full."""
        self._full.append(log)
        self._wake.set()

    def keep_flow(self, name: str, flow: Any) -> None:
        """Write a record of everything one step showed, when there is time."""
        self._flows[name] = flow
        self._wake.set()

    def finish(self, wait_s: float) -> None:
        """Do what is left, and end."""
        self._ends.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        else:
            self.turn(ends=True)

    def _run(self) -> None:
        ends = False
        while not ends:
            self._wake.wait(BEAT_S)
            self._wake.clear()
            ends = self._ends.is_set()
            self.turn(ends)

    def turn(self, ends: bool = False) -> None:
        """Do once what there is to do."""
        self._attempt(self._writer.catch_up)
        self._attempt(self._lay_ahead)
        self._attempt(self._write_flows)
        if ends or time.monotonic() - self._beaten >= BEAT_S:
            self._beaten = time.monotonic()
            self._attempt(self._tend)
        if ends:
            self._full.append(self._writer._log)
        self._attempt(self._seal_all)
        if ends:
            self._attempt(lambda: self._beat("ended"))

    def _attempt(self, work: Any) -> None:
        """Whatever goes wrong here is noted, and tried again a second later."""
        try:
            work()
        except Exception as error:
            if len(self.problems) < 100:
                self.problems.append(f"{type(error).__name__}: {error}")

    def _tend(self) -> None:
        log = self._writer._log
        if self._writer.move_if_gone():
            self._writer.event(0, "event.run_moved", {})
            log = self._writer._log
        self._beat("running")
        if not log.is_torn:
            with suppress(OSError):
                self._disk.sync(log.descriptor)
        if self.facts != self._told_facts:
            facts = dict(self.facts)
            write_whole(self._disk, self._writer.folder / WATCH_FILE, with_checksum(facts))
            self._told_facts = facts

    def _beat(self, state: str) -> None:
        """Write over the last heartbeat in place; its time is what a reader goes by if the process was killed."""
        folder = self._writer.folder
        if folder != self._heart_folder:
            if self._heart >= 0:
                os.close(self._heart)
            self._heart = os.open(folder / HEARTBEAT_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, file_mode())
            self._heart_folder = folder
        beat = {"time": self._writer._clock(), "state": state, "trouble": self._writer.trouble}
        if self._writer.at_step is not None:
            beat["step"] = self._writer.at_step
        data = with_checksum(beat)
        os.pwrite(self._heart, data.ljust(256), 0)
        if state == "ended":
            os.close(self._heart)
            self._heart = -1

    def _lay_ahead(self) -> None:
        log = self._writer._log
        if log.length >= log.wants_room_at and not self._ends.is_set():
            log.lay_ahead()

    def _write_flows(self) -> None:
        while self._flows:
            name = next(iter(self._flows))
            flow = self._flows.pop(name)
            folder = self._writer.folder / FLOWS_FOLDER
            with suppress(FileExistsError):
                self._disk.mkdir(folder, folder_mode())
            text = json.dumps(flow.to_dict(), allow_nan=False, separators=(",", ":")).encode("ascii")
            write_whole(self._disk, folder / f"{name}.json.gz", gzip.compress(text, 6, mtime=0))

    def _seal_all(self) -> None:
        if not self._full:
            return
        from headwater.store.retention import make_room
        from headwater.store.sealing import seal

        rows = with_checksum({"rows": self._writer._rows})
        write_whole(self._disk, self._full[-1].path.parent / ROWS_FILE, rows)
        while self._full:
            log = self._full[0]
            try:
                self._disk.sync(log.descriptor)
                seal(self._disk, log.path)
            except Exception:
                self._failures[log.path] = self._failures.get(log.path, 0) + 1
                if self._failures[log.path] < _PATIENCE and not self._ends.is_set():
                    raise
            self._full.pop(0)
            with suppress(OSError):
                self._disk.close(log.descriptor)
        make_room(self._disk, self._writer.path, self._budget)
