"""Record a training into a folder while it runs: quickly, and whatever the disk does."""

from __future__ import annotations

import atexit
import errno
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headwater.records import HeadwaterError, InputError
from headwater.records.codec import encode
from headwater.records.place import ALONE, Place
from headwater.store.columns import GROUPS, Group
from headwater.store.disk import Disk
from headwater.store.frames import MAX_PAYLOAD, Kind, packed
from headwater.store.keeper import Keeper
from headwater.store.layout import FORMAT, log_name
from headwater.store.log import Log
from headwater.store.logfile import no_rows
from headwater.store.payloads import MAX_ROWS, Table, pack_json, step_size
from headwater.store.ring import Ring, Waiting
from headwater.store.starting import begin_run, begin_start, cannot_record
from headwater.store.step_frames import Pieces, StepFrames

LOG_BYTES = 64 << 20
"""From so many bytes on, a log is closed and sealed; at half as many a reader that comes late would have less to read,
and 1e6 steps of 60 sites would be 500 segments, whose opening takes longer than reading a curve may (200 ms)."""
LOG_STEPS = 4096
_ALIGNED = 256  # recorded steps that a log holds a multiple of, so that a row of a rollup speaks for as many
_RETRY_S = 1.0
_MAX_STALL_S = 0.25  # of one write in the training thread; after one that took longer, a thread of ours writes
_DISTRUST_S = 10.0  # and goes on to, until none has taken so long for that time
_SCHEMA_BYTES = 1 << 20
_STEP = Kind.STEP


class Writer:
    """Takes what a step showed, and has written it when the call returns; the training never hears of a disk's trouble.

    One per process. In a process that was forked it does nothing; unpickled elsewhere it does nothing either.

    Args:
        path: The run's folder; made, or continued with a process start of its own.
        info: What ``run.json`` says of the model and the versions; strict JSON.
        rank: Of this process among those that train together.
        place: Where it stands among them, for ``start.json``.
        budget: Bytes the run may take on disk.
        disk: Makes the calls.

    Raises:
        InputError: If no run can be recorded there; the message says why.
    """

    def __init__(
        self,
        path: str | Path,
        info: Mapping[str, Any] | None = None,
        *,
        rank: int = 0,
        place: Place = ALONE,
        budget: int = 2 << 30,
        disk: Disk | None = None,
        start: int | None = None,
        clock: Any = time.time,
    ) -> None:
        self._disk = disk or Disk()
        self._clock = clock
        self._path = Path(path)
        self._info = dict(info or {})
        self._rank = rank
        self._place = place
        self._lock = threading.RLock()  # of what waits, and of numbers
        self._log_lock = threading.Lock()  # of the file; never waited for in the training's thread
        self._ring = Ring()
        self._number = 0
        self._ordinal = 0
        self._rows = no_rows()
        self._step_frames = StepFrames()
        self._retry_at = 0.0
        self._writes_elsewhere = False
        self._stalled_at = 0.0
        self._is_closed = False
        self._is_inert = False
        self.trouble = ""
        """Why nothing is being written at the moment; empty while all is well."""
        self.at_step: int | None = None
        """Optimizer steps begun, the one at hand not counted, for the heartbeat; ``None`` where nobody says so."""
        self.on_trouble: Any = None  # told once when recording stops, and once when it goes on
        begin_run(self._disk, self._path, self._info)
        self.folder = begin_start(self._disk, self._path, rank, start, place)
        try:
            self._log = self._open_log(1)
        except OSError as error:
            raise cannot_record(self._path, error) from error
        self._keeper = Keeper(self, self._disk, budget)
        self._keeper.start()
        _writers.add(self)

    def __reduce__(self) -> Any:
        return Handle, (str(self._path),)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._path

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that records, and it has not ended."""
        return not (self._is_inert or self._is_closed)

    # What is recorded

    def add_rows(self, group: Group, rows: Sequence[Mapping[str, Any]]) -> int:
        """Sites or parameters that steps from here on have rows for, behind those there are.

        Args:
            group: Which table.
            rows: ``name`` and whatever else is known, as strict JSON.

        Returns:
            The number of the first one.

        Raises:
            InputError: If they are more than a run holds.
        """
        first = len(self._rows[group])
        if not self.is_ours:
            return first
        check_size({**{key: len(known) for key, known in self._rows.items()}, group: first + len(rows)})
        self._rows[group] += [dict(row) for row in rows]
        with self._lock:
            for data in self._schema_frames(group, first):
                self._append(Kind.SCHEMA, data)
        return first

    def step(self, step: int, tables: Mapping[Group, Table], loss: float | None = None) -> bool:
        """Record a step by one write.

        Args:
            step: Optimizer steps taken before.
            tables: A row per site or parameter that was added, columns as in ``columns.GROUPS``; NaN for unknown.
            loss: Its value, if it was told.

        Returns:
            Whether it lies in the file; otherwise it waits for the disk.
        """
        if not self.is_ours:
            return False
        with self._lock:
            pieces, size = self._step_frames.pieces(self._number, step, self._clock(), loss, tables)
            self._ordinal += 1
            return self._put(_STEP, pieces, size, step)

    def scalars(self, step: int, values: Mapping[str, float]) -> bool:
        """Record numbers by name: losses of data held out, metrics, learning rates."""
        return self._record(Kind.SCALARS, step, {"step": step, "time": self._clock(), "values": encode(dict(values))})

    def event(self, step: int, id: str, values: Mapping[str, Any], is_alarm: bool = False) -> bool:
        """Record that something happened; of an alarm the steps around are kept when room gets scarce."""
        data = {"step": step, "time": self._clock(), "id": id, "values": encode(dict(values)), "alarm": is_alarm}
        return self._record(Kind.EVENT, step, data, is_alarm)

    def flow(self, name: str, flow: Any) -> None:
        """Keep everything a step showed, as ``first``, ``last`` or ``broke``; written by a thread of ours."""
        if self.is_ours:
            self._keeper.keep_flow(name, flow)

    def note(self, **facts: Any) -> None:
        """Keep what is known of the watch itself, in place of what was kept before."""
        if self.is_ours:
            self._keeper.facts.update(facts)

    def close(self, reason: str = "closed", wait_s: float = 30.0) -> None:
        """Say that the run has ended and seal what is left; may be called again.

        Args:
            reason: Why: ``closed``, the name of an exception, ``interpreter_exit``.
            wait_s: Seconds to wait for the sealing.
        """
        if not self.is_ours:
            return
        self._retry_at = 0.0
        with self._lock:
            self._record(Kind.END, 0, {"time": self._clock(), "reason": reason, "steps": self._ordinal})
            self._is_closed = True
        _writers.discard(self)
        self._keeper.finish(wait_s)

    # On its way to the disk

    def _record(self, kind: Kind, step: int, data: dict[str, Any], is_alarm: bool = False) -> bool:
        if not self.is_ours:
            return False
        with self._lock:
            return self._append(kind, pack_json(data), step, is_alarm)

    def _append(self, kind: Kind, payload: bytes, step: int = 0, is_alarm: bool = False) -> bool:
        frame = packed(kind, self._number, payload)
        return self._put(kind, (frame,), len(frame), step, is_alarm)

    def _put(self, kind: Kind, pieces: Pieces, size: int, step: int, is_alarm: bool = False) -> bool:
        """Write a frame, or keep it for later; called with the lock held."""
        self._number += 1
        if self._ring or self._writes_elsewhere or not self._log_lock.acquire(blocking=False):
            return self._put_later(kind, pieces, step, is_alarm)
        log = self._log
        started = time.monotonic()
        try:
            log.append(pieces, size)
        except OSError as error:
            self._ring.add(Waiting(kind, b"".join(pieces), step, is_alarm))
            self._suspend(error)
            return False
        finally:
            self._log_lock.release()
        self._note_time(started)
        if kind is _STEP:
            log.steps += 1
            if log.length >= LOG_BYTES or log.steps >= LOG_STEPS:
                self._rotate()
            if log.length >= log.wants_room_at:
                self._keeper.wake()
        return True

    def _put_later(self, kind: Kind, pieces: Pieces, step: int, is_alarm: bool) -> bool:
        """Keep a frame in memory; where it is time to try again, with what else waits."""
        tries = bool(self._ring) and not self._writes_elsewhere and time.monotonic() >= self._retry_at
        self._ring.add(Waiting(kind, b"".join(pieces), step, is_alarm))
        if tries:
            return self.catch_up()
        self._keeper.wake()
        return False

    def catch_up(self) -> bool:
        """Write what waits; gives whether nothing does any more. Others may add to it while the disk takes its time."""
        if not self._ring and not self._ring.lost:
            return True  # without the lock, for which the training's thread does not wait
        if not self._log_lock.acquire(blocking=False):
            return False
        try:
            if self._log.is_torn:
                self._replace_log()
            if self._ring.lost:
                self._write_gap()
            while self._write_next():
                if self._log.length >= LOG_BYTES or self._log.steps >= LOG_STEPS:
                    self._rotate()
        except OSError as error:
            self._suspend(error)
            return False
        finally:
            self._log_lock.release()
        if self.trouble:
            self.trouble = ""
            self._tell("")
        return True

    def _write_next(self) -> bool:
        with self._lock:
            if not self._ring:
                return False
            waiting = self._ring.pop()
        started = time.monotonic()
        try:
            self._log.append((waiting.data,), len(waiting.data))
        except OSError:
            with self._lock:
                self._ring.give_back(waiting)
            raise
        self._note_time(started)
        self._log.steps += waiting.kind is Kind.STEP
        return True

    def _note_time(self, started: float) -> None:
        """Where a write took too long, the training's thread does without for a while."""
        now = time.monotonic()
        if now - started > _MAX_STALL_S:
            self._writes_elsewhere, self._stalled_at = True, now
        elif self._writes_elsewhere and now - self._stalled_at > _DISTRUST_S:
            self._writes_elsewhere = False

    def _write_gap(self) -> None:
        """Say which frames were given up."""
        ring = self._ring
        with self._lock:
            gap = {
                "time": self._clock(),
                "frames": ring.lost,
                "steps": ring.lost_steps,
                "first_step": ring.first_lost,
                "last_step": ring.last_lost,
                "why": self.trouble,
            }
            number, self._number = self._number, self._number + 1
        frame = packed(Kind.GAP, number, pack_json(gap))
        self._log.append((frame,), len(frame))
        ring.forget_losses()

    def _suspend(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_S
        if not self.trouble:
            self.trouble = errno.errorcode.get(error.errno or 0, type(error).__name__)
            self._tell(error.strerror or str(error))

    def _tell(self, why: str) -> None:
        if self.on_trouble is not None:
            with suppress(Exception):
                self.on_trouble(why)

    # Logs

    def _open_log(self, number: int) -> Log:
        log = Log(self._disk, self.folder / log_name(number), number)
        head = {"format": FORMAT, "log": number, "ordinal": self._ordinal, "columns": GROUPS, "time": self._clock()}
        frames = [packed(Kind.FILE, self._number, pack_json(head))]
        self._number += 1
        for group in GROUPS:
            for data in self._schema_frames(group, 0):
                frames.append(packed(Kind.SCHEMA, self._number, data))
                self._number += 1
        head_of_log = b"".join(frames)
        try:
            log.append((head_of_log,), len(head_of_log))
        except OSError:
            self._disk.close(log.descriptor)
            with suppress(OSError):
                self._disk.unlink(log.path)
            raise
        return log

    def _schema_frames(self, group: Group, first: int) -> list[bytes]:
        """Rows as JSON, in groups of a size that a reader takes at once."""
        parts: list[bytes] = []
        rows: list[dict[str, Any]] = []
        size, start = 0, first
        for index in range(first, len(self._rows[group])):
            row = self._rows[group][index]
            length = len(pack_json(row))
            if rows and size + length > _SCHEMA_BYTES:
                parts.append(pack_json({"group": group, "first": start, "rows": rows}))
                rows, size, start = [], 0, index
            rows.append(row)
            size += length
        return [*parts, pack_json({"group": group, "first": start, "rows": rows})] if rows else parts

    def _rotate(self) -> None:
        """Go on in a new log, from a step on whose rows of the rollups begin too."""
        full = self._log
        if self._ordinal % _ALIGNED and full.length < 2 * LOG_BYTES:
            return
        try:
            self._log = self._open_log(full.number + 1)
        except OSError:
            return  # it goes on in the full one, and tries again with the next step
        self._keeper.seal(full)

    def _replace_log(self) -> None:
        """Go on in a new file where the old one cannot be cut back."""
        try:
            self._log.cut()
        except OSError:
            torn = self._log
            self._log = self._open_log(torn.number + 1)
            self._keeper.seal(torn)

    def move_if_gone(self) -> bool:
        """Begin again in a new folder where this one was deleted or moved; gives whether it did."""
        if os.fstat(self._log.descriptor).st_nlink and self._log.path.exists():
            return False
        if not self._log_lock.acquire(blocking=False):
            return False
        try:
            begin_run(self._disk, self._path, self._info)
            folder = begin_start(self._disk, self._path, self._rank, None, self._place)
            with self._lock:
                self.folder, before = folder, self.folder
                try:
                    gone, self._log = self._log, self._open_log(1)
                except OSError:
                    self.folder = before
                    raise
            self._disk.close(gone.descriptor)
        except (OSError, HeadwaterError):
            return False
        finally:
            self._log_lock.release()
        return True

    def _become_inert(self) -> None:
        """In a forked child: this is somebody else's run. Its descriptors are only closed by the child's end."""
        self._is_inert = True


class Handle:
    """What is left of a writer in another process: its path, and calls that do nothing."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.is_ours = False
        self.trouble = ""

    def add_rows(self, group: Group, rows: Sequence[Mapping[str, Any]]) -> int:
        return 0

    def step(self, *args: Any, **kwargs: Any) -> bool:
        return False

    scalars = event = step

    def flow(self, *args: Any, **kwargs: Any) -> None:
        return None

    note = close = flow


def check_size(rows: Mapping[Group, int]) -> None:
    """Refuse what no frame would hold.

    Raises:
        InputError: If there are more sites than a run holds; the message has the number and what to do.
    """
    most = max(rows.values())
    size = step_size({group: rows.get(group, 0) for group in GROUPS})
    if most > MAX_ROWS or size > MAX_PAYLOAD:
        raise InputError(
            f"a run holds at most {MAX_ROWS:,} sites and {MAX_PAYLOAD >> 20} MiB per step, and this model has "
            f"{most:,} ({size / (1 << 20):.0f} MiB): choose some, as in "
            'hw.watch(model, optimizer, sites="encoder.*") or sites=2 for the upper two levels; run=None records none.'
        )


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _end_all() -> None:
    for writer in list(_writers):
        with suppress(Exception):
            writer.close("interpreter_exit", wait_s=10.0)


def _make_all_inert() -> None:
    for writer in list(_writers):
        writer._become_inert()
    _writers.clear()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_all_inert)

__all__ = ["Handle", "Writer", "check_size"]
