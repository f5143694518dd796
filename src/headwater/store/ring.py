"""What could not be written yet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from headwater.store.frames import Kind

CAPACITY = 8 << 20  # bytes: a few hundred steps of 200 sites


@dataclass(slots=True)
class Waiting:
    """A frame that waits for room."""

    kind: Kind
    data: bytes
    step: int
    is_alarm: bool = False


class Ring:
    """Frames in order; where they get too many the oldest go, counted. What happened (events) stays."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._frames: deque[Waiting] = deque()
        self._size = 0
        self.lost = 0
        self.lost_steps = 0
        self.first_lost: int | None = None
        self.last_lost: int | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Waiting) -> None:
        """Put a frame at the end."""
        self._frames.append(frame)
        self._size += len(frame.data)
        while self._size > self._capacity and self._drop_oldest():
            pass

    def first(self) -> Waiting:
        return self._frames[0]

    def pop(self) -> Waiting:
        """Take the oldest frame."""
        frame = self._frames.popleft()
        self._size -= len(frame.data)
        return frame

    def give_back(self, frame: Waiting) -> None:
        """Put a frame back to the front."""
        self._frames.appendleft(frame)
        self._size += len(frame.data)

    def forget_losses(self) -> None:
        """They have been written down."""
        self.lost = self.lost_steps = 0
        self.first_lost = self.last_lost = None

    def _drop_oldest(self) -> bool:
        for place, frame in enumerate(self._frames):
            if frame.kind in (Kind.STEP, Kind.SCALARS) or len(frame.data) > self._capacity // 8:
                del self._frames[place]
                self._size -= len(frame.data)
                self._count(frame)
                return True
        return False

    def _count(self, frame: Waiting) -> None:
        self.lost += 1
        self.lost_steps += frame.kind is Kind.STEP
        self.first_lost = frame.step if self.first_lost is None else min(self.first_lost, frame.step)
        self.last_lost = frame.step if self.last_lost is None else max(self.last_lost, frame.step)
