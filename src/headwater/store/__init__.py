"""The run on disk: written while a training goes on, read at any time. ``docs/run-format.md`` says what lies where."""

from headwater.store.reader import Curve, Recording, State, Update
from headwater.store.writer import Writer

__all__ = ["Curve", "Recording", "State", "Update", "Writer"]
