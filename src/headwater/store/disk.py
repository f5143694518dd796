"""What a writer asks of the operating system, in one place, so that tests can let each call fail."""

from __future__ import annotations

import os
from pathlib import Path

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class Disk:
    """The calls, as they are."""

    def create(self, path: Path, mode: int) -> int:
        """Open a file that is not there yet, to append to."""
        return os.open(path, _OPEN, mode)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview) -> int:
        """Append; gives how many bytes were taken."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file back."""
        os.ftruncate(descriptor, length)

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
