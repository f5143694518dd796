"""Whether a run goes on: by its end, by the process that writes it, or by its heartbeat."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any, Literal

from headwater.store.start import Start
from headwater.store.starting import boot_id, process_started

STALE_S = 15.0
"""Seconds without a heartbeat, which comes once a second, after which a run on another machine counts as broken."""


@dataclass(frozen=True)
class State:
    """Whether a run goes on.

    Attributes:
        name: ``running``, ``ended``, or ``broken``: no end was written, and nobody writes any more.
        reason: Of the end, as it was written.
        heartbeat: When the writer was last known to live, seconds since 1970, ``None`` if it never said so.
        trouble: Why nothing is being written at the moment, such as ``ENOSPC``.
    """

    name: Literal["running", "ended", "broken"]
    reason: str = ""
    heartbeat: float | None = None
    trouble: str = ""


def state_of(start: Start | None) -> State:
    """Of a run, by its last process start."""
    if start is None:
        return State("broken")
    beat = start.heartbeat
    heartbeat = _time_of(beat)
    end = start.end
    if end is not None:
        return State("ended", str(end["values"].get("reason", "")), heartbeat)
    if not is_alive(start):
        return State("broken", "", heartbeat)
    return State("running", "", heartbeat, str(beat.get("trouble", "")))


def is_alive(start: Start) -> bool:
    """Whether the process still writes: on this machine the process itself says so, elsewhere its heartbeat."""
    who, beat = start.who, start.heartbeat
    if who.get("host") == socket.gethostname() and who.get("boot") == boot_id() and who.get("pid_started"):
        pid = who.get("pid")
        return isinstance(pid, int) and 0 < pid < 2**31 and process_started(pid) == who["pid_started"]
    last = _time_of(beat)
    return last is not None and time.time() - last < STALE_S


def _time_of(beat: dict[str, Any]) -> float | None:
    last = beat.get("time")
    return float(last) if isinstance(last, (int, float)) and 0 <= last < 1 << 40 else None
