"""Make a run's folder, and in it one of this process's own."""

from __future__ import annotations

import errno
import os
import platform
import socket
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headwater.records import InputError
from headwater.records.codec import encode
from headwater.records.place import ALONE, Place
from headwater.store.disk import Disk
from headwater.store.layout import (
    FORMAT,
    RUN_FILE,
    START_FILE,
    checked,
    folder_mode,
    read_small,
    start_name,
    start_of,
    with_checksum,
    write_whole,
)
from headwater.store.payloads import PayloadError

SCHEMA = "headwater/run/1"
_TRIES = 10_000


def begin_run(disk: Disk, path: Path, info: Mapping[str, Any]) -> None:
    """Make the folder and its ``run.json``, or find those there.

    Raises:
        InputError: If something else lies there, or nothing can be made there.
    """
    try:
        _make_folders(disk, path)
        if (path / RUN_FILE).exists():
            return
        # Another rank may have written RUN_FILE just now.
        entries = [name for name in os.listdir(path) if not name.startswith(".") and name != RUN_FILE]
        others = [name for name in entries if start_of(name) is None]
        if others:
            raise InputError(
                f"{path} is a folder with other things in it ({others[0]!r}), and a run takes one of its own: "
                f'hw.watch(model, optimizer, run="{path}/a"), or run=None to record nothing.'
            )
        data = {
            "schema": SCHEMA,
            "format": FORMAT,
            "id": uuid.uuid4().hex[:12],
            "name": path.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **info,
        }
        write_whole(disk, path / RUN_FILE, with_checksum(data))
    except OSError as error:
        raise cannot_record(path, error) from error


def begin_start(disk: Disk, path: Path, rank: int, number: int | None, place: Place = ALONE) -> Path:
    """A new folder for this process, which no other one gets.

    Args:
        disk: Makes the calls.
        path: The run's folder.
        rank: Of this process.
        number: Of the start; the next free one by default.
        place: Of the process among those that train together.

    Raises:
        InputError: If the number asked for is taken, or nothing can be made there.
    """
    try:
        folder = _claimed(disk, path, rank, number)
        write_whole(disk, folder / START_FILE, with_checksum(_who(rank, place)))
    except OSError as error:
        raise cannot_record(path, error) from error
    return folder


def _claimed(disk: Disk, path: Path, rank: int, number: int | None) -> Path:
    if number is not None:
        folder = path / start_name(number, rank)
        try:
            disk.mkdir(folder, folder_mode())
        except FileExistsError:
            raise InputError(f"{path.name}: start {number} of rank {rank} {_writer_of(folder)}.") from None
        return folder
    taken = [found[0] for entry in os.listdir(path) if (found := start_of(entry)) and found[1] == rank]
    free = max(taken, default=0) + 1
    for candidate in range(free, free + _TRIES):
        folder = path / start_name(candidate, rank)
        with suppress(FileExistsError):
            disk.mkdir(folder, folder_mode())
            return folder
    raise InputError(f"{path} has no free place for another start.")


def _writer_of(folder: Path) -> str:
    """Who took a folder."""
    try:
        who = checked(read_small(folder / START_FILE))
        return f"is being written by pid {who['pid']} on host {who['host']}"
    except (OSError, PayloadError, KeyError):
        return "is taken by another process"


def _who(rank: int, place: Place) -> dict[str, Any]:
    """Who writes: enough to say whether it still runs, and nothing of its environment or command line."""
    return {
        "schema": "headwater/run-start/1",
        "format": FORMAT,
        "pid": os.getpid(),
        "pid_started": process_started(os.getpid()),
        "host": socket.gethostname(),
        "boot": boot_id(),
        "rank": rank,
        **({"place": encode(place)} if place.world_size > 1 else {}),
        "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "python": platform.python_version(),
    }


def process_started(pid: int) -> str:
    """When a process began, in the kernel's ticks; ``""`` where that cannot be told, or it is gone."""
    if sys.platform != "linux":
        return ""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if not fields or fields[0] == "Z" else fields[19]


def boot_id() -> str:
    """Which start of the machine this is, ``""`` where that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _make_folders(disk: Disk, path: Path) -> None:
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            disk.mkdir(folder, folder_mode())
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def cannot_record(path: Path, error: OSError) -> InputError:
    """What is said where the disk does not let a run begin."""
    return InputError(
        f"no run can be recorded in {path} ({error.strerror or error}): choose another folder, as in "
        'hw.watch(model, optimizer, run="/somewhere/else/a"), or run=None to record nothing.'
    )
