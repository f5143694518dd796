"""What happened in a run, as records."""

from __future__ import annotations

from typing import Any

from headwater.records import Event, Message


def event_of(entry: dict[str, Any]) -> Event:
    """Of what a log or a segment holds."""
    return Event(entry["step"], Message(entry["id"], entry["values"]))
