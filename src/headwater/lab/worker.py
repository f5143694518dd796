"""A process that runs the networks of several labs in turn: who has had least of it goes next."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, Any

from headwater.i18n import speak
from headwater.lab.refusal import RefusedError
from headwater.records import InputError, Message
from headwater.report.files import strict_json

if TYPE_CHECKING:
    from headwater.lab.session import Lab, Work
    from headwater.lab.slot import Slot


_COMPILES_S = 120.0
_PIECE_S = 0.03  # of long work, after which others have their turn


def serve(connection: Connection, compiled: Event, leads: bool) -> None:
    """Answer what comes through a connection, and train in between, until it is closed.

    Messages are tuples of a word, the id of a lab and what belongs to it; ``Pool`` sends and reads them.

    Args:
        connection: To the pool.
        compiled: Set once what is compiled at the first start after an installation lies on disk for all.
        leads: Whether this process is the one to compile it; the others wait, as they would do the same work again.
    """
    import torch

    torch.set_num_threads(1)  # small networks spend their time starting operations
    from headwater.lab.slot import Slot
    from headwater.lab.spec import Spec

    if not leads:
        compiled.wait(_COMPILES_S)
    warm = Slot(Spec())  # whatever is compiled or read at the first use is there before the first student is
    warm.advance(is_measured=True)
    compiled.set()
    room = Room(connection)
    connection.send(("ready", "", ""))
    try:
        while True:
            while connection.poll(room.idle_s()):
                room.receive(connection.recv())
            room.turn()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody is there to work for


class Room:
    """The labs of one process.

    Args:
        connection: For what they have to say.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._labs: dict[str, Lab] = {}
        self._spent_s: dict[str, float] = {}
        self._heard: set[str] = set()  # of whom somebody listens
        self._unfinished: dict[tuple[str, int], Work] = {}  # by lab and the ticket that waits for an answer

    def idle_s(self) -> float | None:
        """How long to wait for a message: until a lab is due, for ever if none is."""
        if self._unfinished:
            return 0.0
        now_s = time.monotonic()
        due = [due for id in self._heard if id in self._labs and (due := self._labs[id].due_in_s(now_s)) is not None]
        return min(due) if due else None

    def receive(self, message: tuple[Any, ...]) -> None:
        """Do what a message asks for, and answer if it waits for that."""
        word, id, *rest = message
        if word == "close":
            for ticket in [ticket for lab, ticket in self._unfinished if lab == id]:
                del self._unfinished[id, ticket]
                self._send(id, ticket, 404, RefusedError("lab", status=404).to_dict())
            self._labs.pop(id, None)
            self._spent_s.pop(id, None)
            self._heard.discard(id)
        elif word == "listen":
            self._listen(id, rest[0])
        elif word == "ready_for_frame":
            if id in self._labs:
                self._labs[id].ready_for_frame()
        else:
            self._answer(word, id, *rest)

    def turn(self) -> None:
        """Let the lab train, or go on with what it was asked for, that is due and has had least time so far."""
        now_s = time.monotonic()
        due = {id for id in self._heard if id in self._labs and self._labs[id].due_in_s(now_s) == 0.0}
        asked = dict(reversed(self._unfinished))  # the first of each
        if not due and not asked:
            return
        id = min(due | asked.keys(), key=lambda id: self._spent_s[id])
        if id in asked:
            self._go_on(id, asked[id], self._unfinished.pop((id, asked[id])))
            now_s = time.monotonic()
        if id in due:
            self._train(id, now_s)

    def _train(self, id: str, now_s: float) -> None:
        try:
            self._labs[id].turn()
        except Exception as error:
            self._labs[id].playing = False
            self._emit(id, "trouble", {"said": _internal(error)["error"]["text"]})
            self._emit(id, "lab", self._labs[id].state())
        self._charge(id, now_s)

    def _charge(self, id: str, since_s: float) -> None:
        """Put time on a lab's account. One that has rested has no credit for it: it begins level with the others."""
        others = [self._spent_s[other] for other in self._heard if other != id and other in self._spent_s]
        floor = min(others, default=0.0)
        self._spent_s[id] = max(self._spent_s.get(id, 0.0), floor) + time.monotonic() - since_s

    def _listen(self, id: str, listens: bool) -> None:
        if not listens:
            self._heard.discard(id)
            return
        if id not in self._labs:
            return
        self._heard.add(id)
        self._charge(id, time.monotonic())
        try:
            self._labs[id].tell_all()
        except Exception as error:
            self._emit(id, "trouble", {"said": _internal(error)["error"]["text"]})

    def _answer(self, word: str, id: str, ticket: int, *rest: Any) -> None:
        self._go_on(id, ticket, self._done(word, id, *rest))

    def _go_on(self, id: str, ticket: int, work: Work) -> None:
        """Work for a moment on what was asked for, and answer when it is done."""
        began_s = time.monotonic()
        try:
            next(work)
            while time.monotonic() - began_s < _PIECE_S:
                next(work)
            self._unfinished[id, ticket] = work
            self._charge(id, began_s)
            return
        except StopIteration as done:
            status, data = 200, done.value
        except RefusedError as error:
            status, data = error.status, error.to_dict()
        except InputError as error:
            status, data = 400, _internal(error)
        except Exception as error:
            traceback.print_exc()
            status, data = 500, _internal(error)
        self._charge(id, began_s)
        if id not in self._labs:
            self._spent_s.pop(id, None)
        self._send(id, ticket, status, data)

    def _send(self, id: str, ticket: int, status: int, data: dict[str, Any]) -> None:
        self._connection.send(("answer", id, (ticket, status, strict_json(data))))

    def _done(self, word: str, id: str, *rest: Any) -> Work:
        from headwater.lab.session import Lab

        if word == "open":
            spec, compare, uploads = rest
            lab = Lab(spec, lambda name, data: self._emit(id, name, data), uploads, compare)
            lab.on_built = lambda: self._announce(id, lab)
            lab.on_offered = lambda slot, offered: self._offer(id, slot, lab.slots[slot], offered)
            self._labs[id] = lab
            return {"lab": lab.state(), "result": None}
        if id not in self._labs:
            raise RefusedError("lab", status=404)
        if word == "upload":
            self._labs[id].upload(rest[0])
            return {}
        command: Mapping[str, Any] = rest[0]
        return (yield from self._labs[id].doing(command))

    def _emit(self, id: str, name: str, data: dict[str, Any]) -> None:
        self._connection.send(("event", id, (name, data.get("slot", ""), strict_json(data))))

    def _offer(self, id: str, name: str, slot: Slot, offered: tuple[tuple[str, ...], ...]) -> None:
        """Which remedies a lab offers: what they do is tried elsewhere."""
        self._connection.send(("event", id, ("offered", name, (slot.version, slot.spec, offered))))

    def _announce(self, id: str, lab: Lab) -> None:
        """Which networks a lab has now: theory is asked about them elsewhere, and they are opened again if need be."""
        for name, slot in lab.slots.items():
            self._connection.send(("event", id, ("built", name, (slot.version, slot.spec))))
        if "b" not in lab.slots:
            self._connection.send(("event", id, ("alone", "b", None)))


def _internal(error: Exception) -> dict[str, Any]:
    summary = traceback.format_exception_only(error)[-1].strip()[:300]
    message = Message("lab.engine.refused.internal", {"error": summary})
    text = {language: speak(message, language) for language in ("en", "ko")}
    return {"error": {"id": message.id, "text": text, "control": None}}
