"""The one file that is being appended to."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from headwater.store.disk import Bytes, Disk
from headwater.store.layout import file_mode

_AHEAD = 256  # frames that find their place made; more are laid when a quarter is left: less than one step in a hundred
_GROWTH = 4  # but at most so many for each that there is: what a short run leaves behind is small
_MOST_AHEAD = 8 << 20  # bytes
_ZEROS = bytes(64 << 10)
"""What is laid ahead at once: the kernel keeps in larger units what is written in larger ones, and to write into a
part of such a unit takes it longer (twice as long where all was laid at once, docs/log.md)."""
_NEVER = 1 << 62


class Log:
    """A file that whole frames follow each other in, whatever a write did; behind the last one there may be zeros.

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
        self.wants_room_at = 0
        """Length from which on :meth:`lay_ahead` is to be called again."""
        self._disk = disk
        self.descriptor = disk.create(path, file_mode())

    def append(self, pieces: Sequence[Bytes], size: int) -> None:
        """Write whole frames by one call.

        Args:
            pieces: What is written, one behind the other.
            size: How many bytes that is.

        Raises:
            OSError: If not all of them were taken; the file then ends where it did before.
        """
        if self.is_torn:
            self.cut()
        try:
            written = self._disk.write_all(self.descriptor, pieces)
            if written != size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # what a short write says by its number alone
        except OSError:
            self.is_torn = True
            self.cut()
            raise
        self.length += size

    def cut(self) -> None:
        """Cut off what follows the last whole frame."""
        self._disk.truncate(self.descriptor, self.length)
        self.is_torn = False

    def lay_ahead(self) -> None:
        """Lay zeros behind the last frame, so that a thread that writes over them need not wait for room to be made.

        They go to the file's end, wherever that is by then, so that they never lie over a frame that is written at
        the same time.

        Raises:
            OSError: If there is no room, or the file is not at its place any more.
        """
        self.wants_room_at = _NEVER
        frames = min(_AHEAD, _GROWTH * self.steps)
        wanted = min(frames * self.length // max(1, self.steps), _MOST_AHEAD)
        descriptor = self._disk.open_end(self.path)
        try:
            ours = os.fstat(self.descriptor)
            if not os.path.samestat(ours, os.fstat(descriptor)):
                return
            missing = self.length + wanted - ours.st_size
            for _ in range(-(-missing // len(_ZEROS))):
                self._disk.write(descriptor, _ZEROS)
        finally:
            with suppress(OSError):
                self._disk.close(descriptor)
        self.wants_room_at = self.length + wanted * 3 // 4
