"""What a writer asks of the operating system, in one place, so that tests can let each call fail."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

Bytes = bytes | bytearray | memoryview
"""What can be written; arrays are handed on as the bytes they consist of, without a copy."""

_OURS = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_GATHERS = hasattr(os, "writev")


class Disk:
    """The calls, as they are."""

    def create(self, path: Path, mode: int) -> int:
        """Open a file that is not there yet, to write from its beginning."""
        return os.open(path, _OURS | os.O_CREAT | os.O_EXCL, mode)

    def open_end(self, path: Path) -> int:
        """Open a file that is there, to add to its end, wherever that is by then."""
        return os.open(path, _OURS | os.O_APPEND)

    def write(self, descriptor: int, data: Bytes) -> int:
        """Write on; gives how many bytes were taken."""
        return os.write(descriptor, data)

    def write_all(self, descriptor: int, pieces: Sequence[Bytes]) -> int:
        """Write on, several pieces by one call; gives how many bytes were taken."""
        if _GATHERS:
            return os.writev(descriptor, pieces)
        return os.write(descriptor, b"".join(pieces))

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file back, and write on from there."""
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, length, os.SEEK_SET)

    def sync(self, descriptor: int) -> None:
        """Wait until a file's bytes are on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Let go of a file."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in another's place, at once."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a folder that is not there yet."""
        os.mkdir(path, mode)

    def sync_folder(self, path: Path) -> None:
        """Wait until a folder's names are on the disk; a file system that cannot is left alone."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return
        try:
            os.fsync(descriptor)
        except OSError:
            pass
        finally:
            os.close(descriptor)
