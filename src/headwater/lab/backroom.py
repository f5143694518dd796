"""What takes seconds and must not make a class wait: predictions, trials of remedies, the lessons' own experiments.

Two processes of low priority: of each kind of work one at a time, so that no prediction waits for an experiment. Each
result is made once and kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from typing import Any

from headwater.lab.csv_data import Uploaded
from headwater.lab.spec import Spec
from headwater.processes import Workers, workers
from headwater.records.lesson import LessonResult
from headwater.report.files import strict_json

_MOST_KEPT = 256
_TRIES = 2  # a process may be killed from outside once; what ends it twice would end a third one too
_TOLD_ONLY = ("locked", "hidden", "lesson")
_TRAINING_ONLY = ("optimizer", "learning_rate", "l1", "l2", *_TOLD_ONLY)  # no matter at the start
_SETTLED_S = 1.0  # a slider on its way is no network to try remedies on

Remedies = tuple[str, ...]


class Backroom:
    """The processes behind the scenes; to be used from one event loop.

    Attributes:
        deliver: Called with lab, ``"prediction"`` or ``"trials"``, network and JSON.
        is_heard: Whether somebody listens to a lab. For one that has been left nothing is worked out, as others wait
            for their turn; who comes back to it is told everything anew, and asks again by that.
    """

    def __init__(self) -> None:
        self.deliver: Callable[[str, str, str, str], None] = lambda *_: None
        self.is_heard: Callable[[str], bool] = lambda _: True
        self._stack = ExitStack()
        self._workers: Workers | None = None
        self._made: dict[tuple[Any, ...], str] = {}
        self._offered: dict[tuple[str, str], tuple[int, Spec, Uploaded | None, tuple[Remedies, ...]]] = {}
        self._wanted: dict[tuple[str, str], tuple[int, Spec, Uploaded | None]] = {}
        self._lessons: dict[str, asyncio.Task[LessonResult]] = {}
        self._predicting = asyncio.Lock()
        self._trying = asyncio.Lock()
        self._experimenting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Make ready; a process begins with its first work."""
        self._workers = self._stack.enter_context(workers(2, _prepare))

    def _renew(self, broken: Workers) -> None:
        """Other processes in the place of those of which one was killed, unless somebody has done it already."""
        if self._workers is broken:
            self._stack.close()  # they have ended by themselves; only their places are given back
            self.start()

    def close(self) -> None:
        """End it, whatever it is doing: nobody waits for an experiment when the lab is closed."""
        with suppress(_ClosedError):
            self._stack.__exit__(_ClosedError, _ClosedError(), None)

    def predict(self, id: str, slot: str, version: int, spec: Spec, uploaded: Uploaded | None) -> None:
        """Have a prediction made and delivered; of one network only the last that was asked for.

        Args:
            id: Of the lab.
            slot: Which network of it.
            version: Of the network.
            spec: Of the network.
            uploaded: Of ``data="csv"``, the file.
        """
        self._wanted[id, slot] = version, spec, uploaded
        self._spawn(self._predict(id, slot))

    async def _predict(self, id: str, slot: str) -> None:
        async with self._predicting:
            if (id, slot) not in self._wanted:
                return  # another has answered it already
            version, spec, uploaded = self._wanted.pop((id, slot))
            if not self.is_heard(id):
                return
            plain = spec.changed({name: getattr(Spec(), name) for name in _TRAINING_ONLY})
            found = await self._kept("prediction", _prediction, plain, uploaded)
        self._deliver(id, "prediction", slot, version, found)

    def try_out(
        self, id: str, slot: str, version: int, spec: Spec, uploaded: Uploaded | None, offered: tuple[Remedies, ...]
    ) -> None:
        """Have the remedies that are offered tried, and what came of it delivered as ``"trials"``.

        Args:
            id: Of the lab.
            slot: Which network of it.
            version: Of the network.
            spec: Of the network.
            uploaded: Of ``data="csv"``, the file.
            offered: Best first.
        """
        self._offered[id, slot] = version, spec, uploaded, offered
        self._spawn(self._try_out(id, slot, version))

    async def _try_out(self, id: str, slot: str, version: int) -> None:
        await asyncio.sleep(_SETTLED_S)
        async with self._trying:
            if (id, slot) not in self._offered or self._offered[id, slot][0] != version:
                return  # the network is another by now
            _, spec, uploaded, offered = self._offered.pop((id, slot))
            if not self.is_heard(id):
                return
            plain = spec.changed({name: getattr(Spec(), name) for name in _TOLD_ONLY})
            found = await self._kept("trials", _trials, plain, uploaded, offered)
        self._deliver(id, "trials", slot, version, found)

    async def _kept(self, kind: str, make: Any, spec: Spec, uploaded: Uploaded | None, *more: Any) -> str:
        """What was made of the same before, or is made now."""
        key = kind, spec.to_state(), uploaded.id if uploaded is not None else "", *more
        if key not in self._made:
            made = await self._run(make, spec, uploaded, *more)
            while len(self._made) >= _MOST_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = made
        return self._made[key]

    def _deliver(self, id: str, name: str, slot: str, version: int, found: str) -> None:
        self.deliver(id, name, slot, f'{{"slot":"{slot}","version":{version},{found[1:]}')

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lesson(self, lesson: str) -> LessonResult | None:
        """What a lesson's experiment gave; ``None`` as long as it runs, which asking begins.

        Raises:
            Exception: Whatever the experiment raised.
        """
        if lesson not in self._lessons:
            self._lessons[lesson] = asyncio.get_running_loop().create_task(self._experiment(lesson))
        task = self._lessons[lesson]
        if not task.done():
            return None
        if task.exception() is not None:
            del self._lessons[lesson]  # the next who asks tries again
        return task.result()

    async def _experiment(self, lesson: str) -> LessonResult:
        async with self._experimenting:
            return await self._run(_lesson, lesson)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        assert self._workers is not None
        for _ in range(_TRIES - 1):
            used = self._workers
            try:
                return await asyncio.wrap_future(used.submit(function, *arguments))
            except BrokenProcessPool:
                self._renew(used)
        return await asyncio.wrap_future(self._workers.submit(function, *arguments))


class _ClosedError(Exception):
    """What makes ``workers`` end its processes at once."""


def _prepare() -> None:
    import torch

    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(10)


def _prediction(spec: Spec, uploaded: Uploaded | None) -> str:
    from headwater.lab.theory_line import prediction_of

    return strict_json(prediction_of(spec, uploaded))


def _trials(spec: Spec, uploaded: Uploaded | None, offered: tuple[Remedies, ...]) -> str:
    from headwater.lab.trials import tried

    return strict_json(tried(spec, uploaded, offered))


def _lesson(lesson: str) -> LessonResult:
    from headwater.lessons import run

    return run(lesson)
