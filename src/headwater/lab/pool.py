"""The labs of a class, spread over a few processes; what happens in them is handed to whoever listens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import multiprocessing
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event as Signal
from typing import Any

from headwater.lab.csv_data import Uploaded
from headwater.lab.refusal import RefusedError
from headwater.lab.said import tell
from headwater.lab.spec import Spec
from headwater.lab.worker import serve
from headwater.processes import processors, spawned
from headwater.report.files import strict_json

MOST_LABS = 64
MOST_PROCESSES = 4
MOST_WAITING = 8  # commands of one lab
PATIENCE_S = 60.0
FORGOTTEN_S = 900.0  # a lab that nobody listens to
LEFT_S = 30.0  # the same, where there is no room for another; a page that reloads is back sooner
QUIET_S = 10.0
_MOST_FAILURES = 3  # processes one after the other that ended before they were ready
_LATEST = (
    "lab",
    "torch",
    "network",
    "details",
    "diagnosis",
    "prediction",
    "trials",
    "difference",
)  # of which the last one counts


Event = tuple[str, str, str]
"""Name, network, JSON."""
Wanted = Callable[[str, str, int, Spec, "Uploaded | None"], None]
Offered = Callable[[str, str, int, Spec, "Uploaded | None", tuple[tuple[str, ...], ...]], None]


@dataclass(eq=False)
class _Worker:
    """One process, and the labs in it."""

    process: BaseProcess
    connection: Connection
    labs: set[str] = field(default_factory=set)
    ready: bool = False
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: tuple[Any, ...]) -> None:
        with self.sending, contextlib.suppress(OSError):  # of one that has ended its reader will tell
            self.connection.send(message)


@dataclass(eq=False)
class _Entry:
    """One lab, seen from here.

    Attributes:
        spec: Of its first network as it was opened or changed last, to open it again where its process was lost.
        compare: Of its second.
        worker: Where it runs.
        events: Not sent yet, each with the network it is about.
        wake: Set when there are some.
        listener: Number of the connection that listens; an earlier one ends.
        quiet_since_s: Since when nobody has listened.
        waiting: Commands without an answer.
        ended: What is said of a lab that could not be built, whoever comes to listen.
    """

    spec: Spec
    compare: Spec | None
    worker: _Worker
    uploaded: Uploaded | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=1024))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    listener: int = 0
    quiet_since_s: float | None = field(default_factory=time.monotonic)
    waiting: int = 0
    ended: str | None = None


class Pool:
    """Processes that run labs; to be used from one event loop.

    Args:
        processes: How many; by default one per processor, up to four.
        engine: What each runs.

    Attributes:
        on_built: Called with lab, network, version, spec and file of every network that was built.
        on_offered: Called with the same and the remedies, best first, where some are offered at its start.
    """

    def __init__(
        self, processes: int | None = None, engine: Callable[[Connection, Signal, bool], None] = serve
    ) -> None:
        self._engine = engine
        self._compiled = multiprocessing.get_context("spawn").Event()
        self._count = processes or min(processors(), MOST_PROCESSES)
        self._workers: list[_Worker] = []
        self._labs: dict[str, _Entry] = {}
        self._answers: dict[int, tuple[asyncio.Future[tuple[int, str]], _Worker]] = {}
        self._tickets = itertools.count(1)
        self._uploads: dict[str, Uploaded] = {}
        self._closed = False
        self._failures = 0
        self.on_built: Wanted | None = None
        self.on_offered: Offered | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to load the engine; nobody waits for that here."""
        self._loop = asyncio.get_running_loop()
        self._workers = [self._worker(leads=number == 0) for number in range(self._count)]

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        for worker in self._workers:
            worker.process.terminate()

    def let_go(self) -> None:
        """Keep nobody waiting any more, neither for an answer nor for what happens; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for future, _ in self._answers.values():
            if not future.done():
                future.set_exception(RefusedError("closing", status=503))
        for entry in self._labs.values():
            entry.listener += 1
            entry.wake.set()

    @property
    def ready(self) -> bool:
        """Whether the engine has been loaded somewhere."""
        return any(worker.ready for worker in self._workers)

    @property
    def processes(self) -> list[int]:
        """Ids of the processes."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def keep(self, uploaded: Uploaded) -> None:
        """Remember a file; the oldest of a hundred goes."""
        self._uploads[uploaded.id] = uploaded
        while len(self._uploads) > 100:
            del self._uploads[next(iter(self._uploads))]

    def uploaded(self, spec: Spec) -> Uploaded | None:
        """The file a spec is about.

        Raises:
            RefusedError: If it is not here.
        """
        if spec.data != "csv":
            return None
        if spec.csv not in self._uploads:
            raise RefusedError("no_csv", {}, "csv")
        return self._uploads[spec.csv]

    def open(self, spec: Spec, compare: Spec | None = None) -> str:
        """A new lab; gives its id. Its network is built as soon as a process is ready for it.

        Raises:
            RefusedError: If there are too many, or the file it is about is not here.
        """
        if self._failures >= _MOST_FAILURES:
            raise RefusedError("no_engine", status=503)
        self._forget(FORGOTTEN_S)
        if len(self._labs) >= MOST_LABS:
            self._forget(LEFT_S)
        if len(self._labs) >= MOST_LABS:
            raise RefusedError("full", {"most": MOST_LABS}, status=429)
        uploaded = self.uploaded(spec)
        id = secrets.token_urlsafe(12)
        worker = min(self._workers, key=lambda worker: len(worker.labs))
        worker.labs.add(id)
        self._labs[id] = _Entry(spec, compare, worker, uploaded)
        self._send_open(id)
        return id

    def close_lab(self, id: str) -> None:
        """Let a lab go."""
        entry = self._labs.pop(id, None)
        if entry is not None:
            entry.worker.labs.discard(id)
            entry.worker.send(("close", id))
            entry.listener += 1
            entry.wake.set()

    def is_heard(self, id: str) -> bool:
        """Whether there is such a lab, and somebody who listens to it."""
        return id in self._labs and self._labs[id].quiet_since_s is None

    async def do(self, id: str, command: dict[str, Any]) -> tuple[int, str]:
        """Have a lab carry out a command; gives a status and JSON.

        Raises:
            RefusedError: If there is no such lab, it has too much to do already, or does not answer.
        """
        entry = self._entry(id)
        if entry.waiting >= MOST_WAITING:
            raise RefusedError("busy", status=429)
        controls = command.get("controls")
        if command.get("do") == "change" and isinstance(controls, dict) and controls.get("csv") in self._uploads:
            entry.uploaded = self._uploads[controls["csv"]]
            await self._ask(entry, ("upload", id), entry.uploaded)
        status, data = await self._ask(entry, ("do", id), command)
        return status, data

    async def listen(self, id: str) -> AsyncGenerator[tuple[str, str], None]:
        """The events of a lab, from now on; a later listener takes the place of this one. ("", "") is a sign of life.

        Raises:
            RefusedError: If there is no such lab.
        """
        entry = self._entry(id)
        entry.listener += 1
        mine = entry.listener
        entry.quiet_since_s = None
        entry.events.clear()
        entry.wake.set()
        if entry.ended is not None:
            yield "trouble", entry.ended
        if not entry.worker.ready:
            yield "torch", '{"state":"loading"}'
        entry.worker.send(("listen", id, True))
        try:
            while entry.listener == mine:
                while entry.events and entry.listener == mine:
                    name, _, data = entry.events.popleft()
                    yield name, data
                    if name == "frame" and not any(waiting == "frame" for waiting, _, _ in entry.events):
                        entry.worker.send(("ready_for_frame", id))
                entry.wake.clear()
                try:
                    await asyncio.wait_for(entry.wake.wait(), QUIET_S)
                except TimeoutError:
                    yield "", ""
        finally:
            if entry.listener == mine:
                entry.quiet_since_s = time.monotonic()
                entry.worker.send(("listen", id, False))

    async def _ask(self, entry: _Entry, head: tuple[str, str], *rest: Any) -> tuple[int, str]:
        assert self._loop is not None
        ticket = next(self._tickets)
        future: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._answers[ticket] = future, entry.worker
        entry.waiting += 1
        try:
            entry.worker.send((*head, ticket, *rest))
            return await asyncio.wait_for(future, PATIENCE_S)
        except TimeoutError as error:
            raise RefusedError("slow", {"seconds": int(PATIENCE_S)}, status=503) from error
        finally:
            entry.waiting -= 1
            self._answers.pop(ticket, None)

    def _entry(self, id: str) -> _Entry:
        if id not in self._labs:
            raise RefusedError("lab", status=404)
        return self._labs[id]

    def _send_open(self, id: str) -> None:
        entry = self._labs[id]
        entry.ended = None
        assert self._loop is not None
        ticket = next(self._tickets)
        future: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        future.add_done_callback(lambda done: self._opened(id, done))
        self._answers[ticket] = future, entry.worker
        entry.worker.send(("open", id, ticket, entry.spec, entry.compare, entry.uploaded))
        if entry.quiet_since_s is None:
            entry.worker.send(("listen", id, True))

    def _opened(self, id: str, done: asyncio.Future[tuple[int, str]]) -> None:
        """A network that could not be built is told as trouble, and its lab is none."""
        if done.cancelled() or done.exception() is not None or id not in self._labs:
            return
        status, data = done.result()
        if status != 200:
            said = json.loads(data)["error"]["text"]
            self._end(id, said)

    def _end(self, id: str, said: object) -> None:
        """Say that there is no lab of that name, now and to whoever comes to listen later."""
        ended = strict_json({"said": said, "fatal": True})
        self._labs[id].ended = ended
        self.deliver(id, "trouble", "", ended)

    # What comes from the processes

    def _worker(self, leads: bool) -> _Worker:
        process, connection = spawned(self._engine, self._compiled, leads)
        worker = _Worker(process, connection)
        threading.Thread(target=self._read, args=(worker,), daemon=True).start()
        return worker

    def _read(self, worker: _Worker) -> None:
        """In a thread: hand on what a process says, until it ends."""
        assert self._loop is not None
        try:
            while True:
                self._loop.call_soon_threadsafe(self._heard, worker, worker.connection.recv())
        except (EOFError, OSError, RuntimeError):  # the last: the loop has ended
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._lost, worker)

    def _heard(self, worker: _Worker, message: tuple[str, str, Any]) -> None:
        word, id, rest = message
        if word == "ready":
            worker.ready = True
            for lab in worker.labs:
                self.deliver(lab, "torch", "", '{"state":"ready"}')
        elif word == "answer":
            ticket, status, data = rest
            found = self._answers.pop(ticket, None)
            if found is not None and not found[0].done():
                found[0].set_result((status, data))
        elif id in self._labs:
            self._event(id, *rest)

    def _event(self, id: str, name: str, slot: str, data: Any) -> None:
        entry = self._labs[id]
        if name == "built":
            version, spec = data
            if slot == "a":
                entry.spec = spec
            else:
                entry.compare = spec
            if self.on_built is not None:
                self.on_built(id, slot, version, spec, entry.uploaded)
        elif name == "alone":
            entry.compare = None
        elif name == "offered":
            version, spec, offered = data
            if self.on_offered is not None:
                self.on_offered(id, slot, version, spec, entry.uploaded, offered)
        else:
            self.deliver(id, name, slot, data)

    def deliver(self, id: str, name: str, slot: str, data: str) -> None:
        """Hand an event to whoever listens to a lab; of some kinds only the last that was not sent yet."""
        entry = self._labs.get(id)
        if entry is None:
            return
        if name in _LATEST:
            kept = [event for event in entry.events if event[:2] != (name, slot)]
            if len(kept) < len(entry.events):
                entry.events.clear()
                entry.events.extend(kept)
        entry.events.append((name, slot, data))
        entry.wake.set()

    def _lost(self, worker: _Worker) -> None:
        """A process has ended: another takes its place, and its labs begin again."""
        if self._closed or worker not in self._workers:
            return
        for ticket, (future, asked) in list(self._answers.items()):
            if asked is worker:
                del self._answers[ticket]
                if not future.done():
                    data = RefusedError("worker_lost", status=503)
                    future.set_exception(data)
        self._failures = 0 if worker.ready else self._failures + 1
        if self._failures >= _MOST_FAILURES:  # it never got as far as a network: another would not either
            for id in worker.labs:
                said = RefusedError("no_engine").text
                self._end(id, said)
            return
        fresh = self._worker(leads=True)  # whoever compiled may be the one that was lost
        self._workers[self._workers.index(worker)] = fresh
        fresh.labs = worker.labs
        for id in fresh.labs:
            self._labs[id].worker = fresh
            self.deliver(id, "trouble", "", strict_json({"said": tell("worker_lost"), "fatal": False}))
            self.deliver(id, "torch", "", '{"state":"loading"}')  # for as long as the new process takes
            self._send_open(id)

    def _forget(self, after_s: float) -> None:
        """Let labs go that nobody has listened to for so long."""
        now_s = time.monotonic()
        for id, entry in list(self._labs.items()):
            if entry.quiet_since_s is not None and now_s - entry.quiet_since_s > after_s:
                self.close_lab(id)
