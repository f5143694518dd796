"""The one file that is being appended to."""

from __future__ import annotations

import errno
from pathlib import Path

from headwater.store.disk import Disk
from headwater.store.layout import file_mode


class Log:
    """An append-only file that ends with a whole frame, whatever a write did.

    Args:
        disk: Makes the calls.
        path: Of the file, which must not be there yet.
        number: Of the log within its process start.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self, disk: Disk, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.length = 0
        """Bytes up to the end of the last whole frame."""
        self.steps = 0
        """Recorded steps in it."""
        self.is_torn = False
        """Whether a frame could not be cut off again: nothing may follow it here."""
        self._disk = disk
        self.descriptor = disk.create(path, file_mode())

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames by one call.

        Raises:
            OSError: If not all of them were taken; the file then ends where it did before.
        """
        if self.is_torn:
            self.cut()
        written = 0
        try:
            written = self._disk.write(self.descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were written")
        except OSError:
            self.is_torn = True
            self.cut()
            raise
        self.length += written

    def cut(self) -> None:
        """Cut off what follows the last whole frame."""
        self._disk.truncate(self.descriptor, self.length)
        self.is_torn = False
