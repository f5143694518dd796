"""Where things lie in a run's folder, who may read them, and how a file gets there in one piece."""

from __future__ import annotations

import os
import re
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from headwater.store.disk import Disk
from headwater.store.payloads import PayloadError, pack_json, unpack_json

FORMAT = 1
"""Of the whole folder. A reader refuses a larger one; what it does not know within its own, it passes over."""


class NewerFormatError(ValueError):
    """A newer version of headwater has written this."""


RUN_FILE = "run.json"
START_FILE = "start.json"
ROWS_FILE = "rows.json"
HEARTBEAT_FILE = "heartbeat"
FLOWS_FOLDER = "flows"
QUARANTINE_FOLDER = "quarantine"
LOG_SUFFIX = ".hwlog"
LEVELS = (16, 256, 4096)
"""Recorded steps that a row of a rollup speaks for."""
GATHERED = (256, 4096)
"""Levels at which the rows of several logs lie in one file, or a long run would be read from a thousand files."""
MOST_GATHERED = 8
"""Logs of one such file; it is written anew with each of them."""

_MAX_JSON = 64 << 20
_MOST_LOGS = 1024  # of one segment, whatever its name claims
_START_NAME = re.compile(r"start-(\d{4,9})\.rank-(\d{1,9})")
_LOG_NAME = re.compile(r"log-(\d{6,12})\.hwlog")
_SEGMENT_NAME = re.compile(r"(\d{6,12})-(?:(\d{6,12})-)?([0-9a-f]{8})\.parquet")


def start_name(number: int, rank: int) -> str:
    """Of the folder of one process start of one rank."""
    return f"start-{number:04d}.rank-{rank}"


def start_of(name: str) -> tuple[int, int] | None:
    """The number of the start and the rank, if it is such a name."""
    found = _START_NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def log_name(number: int) -> str:
    return f"log-{number:06d}{LOG_SUFFIX}"


def log_of(name: str) -> int | None:
    found = _LOG_NAME.fullmatch(name)
    return int(found[1]) if found else None


class SegmentName(NamedTuple):
    """What the name of a segment says.

    Attributes:
        first: The number of the log that was sealed into it, the first one of several.
        last: The last one.
        crc: The checksum of its bytes: Parquet has none over its footer.
    """

    first: int
    last: int
    crc: int

    def __str__(self) -> str:
        several = f"{self.last:06d}-" if self.last != self.first else ""
        return f"{self.first:06d}-{several}{self.crc:08x}.parquet"


def segment_of(name: str) -> SegmentName | None:
    """What a file's name says, if it is that of a segment."""
    found = _SEGMENT_NAME.fullmatch(name)
    if not found:
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return SegmentName(first, last, int(found[3], 16)) if 0 <= last - first < _MOST_LOGS else None


def level_folder(table: str, level: int) -> str:
    """Where the rollups of a table lie; level 1 is the table itself."""
    return table if level == 1 else f"{table}-{level}"


def pinned_folder(table: str) -> str:
    """Where the steps around alarms lie, once the others are gone."""
    return f"{table}-pinned"


def folder_mode() -> int:
    """0700, unless the umask says that the group shares."""
    return 0o777 & ~_mask()


def file_mode() -> int:
    """0600, unless the umask says that the group shares."""
    return 0o666 & ~_mask()


def _mask() -> int:
    umask = _umask()
    return umask if not umask & 0o020 else 0o077


def _umask() -> int:
    """Read without setting it, which another thread might notice, where the system tells it."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def write_whole(disk: Disk, path: Path, data: bytes | memoryview) -> None:
    """Put a file in its place in one piece: beside it, synced, then renamed.

    Raises:
        OSError: If the disk does not take it; nothing is left behind then, and what was there before is there still.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        disk.unlink(beside)  # of a process with the same number that was killed
    descriptor = disk.create(beside, file_mode())
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[disk.write(descriptor, rest) :]
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(beside, path)
    except BaseException:
        with suppress(OSError):
            disk.unlink(beside)
        raise
    disk.sync_folder(path.parent)


def with_checksum(data: dict[str, Any]) -> bytes:
    """A small JSON file that a flipped bit does not pass unseen in."""
    return pack_json({**data, "crc32": f"{zlib.crc32(pack_json(data)):08x}"})


def checked(payload: bytes) -> dict[str, Any]:
    """What :func:`with_checksum` gave.

    Raises:
        PayloadError: If it is damaged, or was never that.
    """
    data = unpack_json(payload)
    crc = data.pop("crc32", None)
    try:
        fits = crc == f"{zlib.crc32(pack_json(data)):08x}"
    except ValueError as error:  # a number that JSON has no word for
        raise PayloadError(f"no strict JSON: {error}") from error
    if not fits:
        raise PayloadError("its checksum does not fit")
    return data


def read_small(path: Path) -> bytes:
    """A file's bytes, if it is a plain file of a size that ours have.

    Raises:
        OSError: If it cannot be read.
        PayloadError: If it is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size > _MAX_JSON:
            raise PayloadError(f"larger than {_MAX_JSON:,} bytes")
        return file.read(_MAX_JSON)
