"""What stands out while a training is watched: events, alarms, and the lines on stderr that tell of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from headwater.probes.recorder import in_one_line
from headwater.records import Event, Message
from headwater.records.message import Value

ALARMS = ("nonfinite", "loss_nonfinite", "gradient_jump")
"""What can be raised as an alarm; ``event.<name>`` is its message."""

_MAX_EVENTS = 1000
_MAX_LINES = 10  # on stderr


class Happenings:
    """The events of a watch, as they happen.

    Args:
        on_alarm: Of the user's, called with each alarm; what it raises is noted and goes no further.
        stop_on: Alarms that say that the training should stop.
        quiet: Whether no line is written.
        step: What step it is now.
        record: ``record(event, is_alarm)`` writes an event into the run.
    """

    def __init__(
        self,
        on_alarm: Callable[[Event], object] | None,
        stop_on: Collection[str],
        quiet: bool,
        step: Callable[[], int],
        record: Callable[[Event, bool], None],
    ) -> None:
        self._on_alarm = on_alarm
        self._stop_on = frozenset(stop_on)
        self._quiet = quiet
        self._step = step
        self._record = record
        self._said: set[str] = set()
        self._lines = 0
        self._troubles = 0
        self.events: list[Event] = []
        """Oldest first, the first thousand of them."""
        self.left_out = 0
        self.should_stop = False

    def note(self, message: Message, is_alarm: bool = False) -> Event:
        """Enter that something happened at this step."""
        event = Event(self._step(), message)
        if len(self.events) < _MAX_EVENTS:
            self.events.append(event)
        else:
            self.left_out += 1
        if is_alarm or len(self.events) < _MAX_EVENTS:
            self._record(event, is_alarm)
        return event

    def say(self, id: str, **values: Any) -> None:
        """Note something once."""
        if id not in self._said:
            self._said.add(id)
            self.note(Message(id, values))

    def alarm(self, id: str, heed: Callable[[], object], **values: Any) -> None:
        """Note an alarm, ``heed`` it, and tell whoever asked to be told."""
        event = self.note(Message(id, values), is_alarm=True)
        heed()
        self.should_stop = self.should_stop or id.removeprefix("event.") in self._stop_on
        if self._on_alarm is not None:
            try:
                self._on_alarm(event)
            except Exception as error:
                self.say("event.callback_failed", error=in_one_line(error))
        if not self._quiet:
            self._print(event)

    def trouble(self, why: str) -> None:
        """Recording has stopped because of the disk, or (``""``) goes on."""
        message = Message("event.recording_stopped", {"why": why}) if why else Message("event.recording_resumed", {})
        event = self.note(message)
        self._troubles += 1
        if not self._quiet and self._troubles <= _MAX_LINES:
            _write_line("alarm.line", event)

    def _print(self, event: Event) -> None:
        """One line on stderr; where there are many alarms, those after the first few are in the record only."""
        self._lines += 1
        if self._lines <= _MAX_LINES:
            _write_line("alarm.last_line" if self._lines == _MAX_LINES else "alarm.line", event)


def _write_line(id: str, event: Event) -> None:
    from headwater.i18n import text

    values: dict[str, Value] = {"step": event.step, "message": str(event.message)}
    line = text(id, values)
    with suppress(OSError, ValueError, AttributeError):  # a stderr that is closed or gone
        sys.stderr.write(line + "\n")
