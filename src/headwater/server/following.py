"""One page's view of one run: all of it first, then what comes, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headwater.recorded import Run, open_run
from headwater.recorded.viewing import FOLLOWED, course_of, course_since
from headwater.records import HeadwaterError
from headwater.report.files import strict_json
from headwater.report.view import view_of

EVERY_S = 0.4  # so that a page shows a step well within a second, and two new pictures each second
QUIET_S = 10.0  # a line in between, so that a connection that is gone is noticed
JUDGED_S = 3.0  # a diagnosis reads a whole kept step, and those come rarely
MOST_APPENDED = 1024  # columns, after which a page is given the run anew, in fewer


class Following:
    """What a page was last sent of a run, and what it lacks.

    Args:
        path: Of the run.
        rank: Whose numbers, where several trained together; by default those of all.
    """

    def __init__(self, path: Path, rank: int | None = None) -> None:
        self._path = path
        self._rank = rank
        self._run: Run | None = None
        self._cursor: str | None = None
        self._state = ""
        self._kept: object = None
        self._appended = 0
        self._judged_s = 0.0
        self._owes_verdict = False

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """The next event's name and data; ``None`` if nothing has come."""
        if self._run is None or self._owes_verdict:
            return self._whole(judged=self._run is not None or _can_judge_at_once())
        update = self._run.follow(self._cursor, FOLLOWED)
        if self._rank is None and len(self._run.ranks) > 1 and not self._run.is_merged:
            self._run = None  # others have come beside the rank that was there first
            return self._whole()
        changed = len(update.steps) or update.events or update.scalars or update.state.name != self._state
        if update.sites_changed or self._appended + len(update.steps) > MOST_APPENDED:
            return self._whole()
        if changed and time.monotonic() - self._judged_s > JUDGED_S and self._kept != self._kept_now():
            return self._whole()  # a new diagnosis
        if not changed:
            return None
        self._cursor, self._state = update.cursor, update.state.name
        self._appended += len(update.steps)
        return "more", view_of(course_since(self._run, update)).to_dict()

    def _whole(self, judged: bool = True) -> tuple[str, dict[str, Any]]:
        self._owes_verdict = not judged
        self._run = self._run or open_run(self._path, self._rank)
        update = self._run.follow(None, ())  # where the next will begin; what is read below was read up to there
        self._cursor, self._state, self._appended = update.cursor, update.state.name, 0
        self._kept, self._judged_s = self._kept_now(), time.monotonic()
        return "view", view_of(course_of(self._run, judged=judged)).to_dict()

    def _kept_now(self) -> object:
        """Which steps are kept as a whole, that a diagnosis rests on."""
        assert self._run is not None
        return [(name, (self._run.flow_data(name) or {}).get("step")) for name in ("last", "broke")]


def _can_judge_at_once() -> bool:
    """Whether the rules are loaded already: that takes longer than a page may be blank, and the numbers go first."""
    return hasattr(sys.modules.get("headwater.diagnosis"), "diagnose")


async def events(path: Path, rank: int | None = None) -> AsyncIterator[str]:
    """Server-sent events for as long as somebody listens."""
    following = Following(path, rank)
    said_s = time.monotonic()
    while True:
        try:
            found = await asyncio.to_thread(following.next)
        except (HeadwaterError, OSError) as error:
            yield _event("trouble", {"text": _said(error, path)})
            await asyncio.sleep(5 * EVERY_S)
            following = Following(path, rank)
            continue
        if found is not None:
            said_s = time.monotonic()
            yield _event(*found)
        elif time.monotonic() - said_s > QUIET_S:
            said_s = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(EVERY_S)


def _said(error: Exception, path: Path) -> str:
    """What is wrong, without where the run lies on this machine."""
    if isinstance(error, OSError):
        return f"{path.name}: {error.strerror or type(error).__name__}"
    return str(error).replace(str(path), path.name)


def _event(name: str, data: dict[str, Any]) -> str:
    written = json.dumps(data) if name == "trouble" else strict_json(data)
    return f"event: {name}\ndata: {written}\n\n"  # strict JSON has no line break of its own
