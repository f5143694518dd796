"""Make room: what is old gets coarser, what is coarse goes last, and the steps around alarms stay."""

from __future__ import annotations

from pathlib import Path

from headwater.store.disk import Disk


def make_room(disk: Disk, run: Path, budget: int) -> None:
    """Keep the run within its budget."""
