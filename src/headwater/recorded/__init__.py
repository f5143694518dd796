"""What a recorded run says: its numbers, its report, where it broke, what tells it from another one."""

from headwater.recorded.run import Run, open_run

__all__ = ["Run", "open_run"]
