"""The application of the lab: a shell with its script and style, and behind the cookie everybody's labs."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from headwater.lab import csv_data
from headwater.lab.answers import sheet
from headwater.lab.backroom import Backroom
from headwater.lab.classroom import Classroom, served_names
from headwater.lab.facts import facts
from headwater.lab.guided import guide_of, page_of, result_of
from headwater.lab.page import asset, shell
from headwater.lab.plan import planned
from headwater.lab.pool import Pool
from headwater.lab.refusal import RefusedError
from headwater.lab.spec import Spec
from headwater.report.files import strict_json
from headwater.server.address import require_packages
from headwater.server.app import server
from headwater.server.guard import HOSTS, TOKEN_HEADER, App, Guard, Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[[Any], Awaitable[Any]]
Place = tuple[str, str, Handler]
ENDS_S = 1.8  # after a signal; what is under way is given one second of it
INTERRUPTED = 130  # the exit status of a command that was told to end
MOST_BODY = 2_000_000  # bytes; a CSV of 1 MB, escaped


@dataclass(frozen=True)
class Setting:
    """How the lab is served.

    Attributes:
        host: Address it listens at.
        port: Port it listens at.
        lesson: Whose guide the page begins with.
        language: Of the page at first.
    """

    host: str
    port: int
    lesson: str | None = None
    language: str | None = None

    @property
    def is_class(self) -> bool:
        """Whether others than this machine are served."""
        return self.host not in HOSTS


def application(session: Session, setting: Setting, pool: Pool | None = None) -> App:
    """The guarded application.

    Args:
        session: Whose token opens it.
        setting: How it is served.
        pool: Where labs run.

    Raises:
        InputError: Without the packages it needs.
    """
    require_packages()
    from starlette.applications import Starlette
    from starlette.routing import Route

    laboratory = _Laboratory(session, setting, pool or Pool())
    app = Starlette(
        routes=[Route(path, handler, methods=[method]) for method, path, handler in laboratory.routes()],
        lifespan=laboratory.running,
        exception_handlers={404: _no_lab},
    )
    return Guard(app, session, served_names(setting.host), changes=True)


class _Laboratory:
    """What is answered to each request: one method for one route.

    Args:
        session: Whose token opens it.
        setting: How it is served.
        labs: Where labs run.
    """

    def __init__(self, session: Session, setting: Setting, labs: Pool) -> None:
        self._session, self._setting, self._labs = session, setting, labs
        self._behind = Backroom()
        self._classroom = Classroom.of(session, setting.host, setting.port) if setting.is_class else None
        labs.on_built = self._behind.predict
        labs.on_offered = self._behind.try_out
        self._behind.deliver, self._behind.is_heard = labs.deliver, labs.is_heard

    def routes(self) -> Iterator[Place]:
        """Method, path and handler of everything that is answered."""
        yield "GET", "/", self.page
        yield "GET", "/lab.js", _file("lab.js", "text/javascript")
        yield "GET", "/lab.css", _file("lab.css", "text/css")
        yield "POST", "/api/session", self.begin
        yield "GET", "/api/lab/facts", self.facts
        for method, path, handler in (
            ("POST", "/sessions", self.open),
            ("DELETE", "/sessions/{id}", self.close),
            ("GET", "/sessions/{id}/events", self.events),
            ("POST", "/sessions/{id}/commands", self.command),
            ("POST", "/csv", self.upload),
            ("POST", "/link", self.link),
            ("GET", "/lessons/{id}", self.lesson),
            ("GET", "/lessons/{id}/result", self.lesson_result),
            ("POST", "/answers", self.answers),
        ):
            yield method, f"/api/lab{path}", _refusing(handler)

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        """The processes, for as long as the server runs."""
        self._labs.start()
        self._behind.start()
        try:
            yield
        finally:
            self._labs.close()
            self._behind.close()

    async def page(self, request: Request) -> Response:
        """The shell, in the language that was asked for."""
        language = request.query_params.get("lang")
        chosen = language if language in ("en", "ko") else self._setting.language
        return _html(shell(chosen, self._setting.lesson, self._setting.is_class))

    async def begin(self, request: Request) -> Response:
        """A cookie for the token."""
        if not self._session.accepts(request.headers.get(TOKEN_HEADER, "")):
            return _plain("403: this is not the token.\n", 403)
        port = request.scope["server"][1] if request.scope.get("server") else 0
        return _empty({"set-cookie": self._session.cookie(port)})

    async def facts(self, _request: Request) -> Response:
        """What can be set, and how far the engine is."""
        state = "ready" if self._labs.ready else "loading"
        classroom = self._classroom.to_dict() if self._classroom is not None else None
        return _json({**facts(), "torch": state, "classroom": classroom})

    async def open(self, request: Request) -> Response:
        """A lab of one's own; what cannot be built is refused before anything is."""
        body = await _body(request)
        spec = _spec(body, "state", "spec") or Spec()
        compare = _spec(body, "compare_state", "compare")
        for one in (spec, compare):
            if one is not None:
                uploaded = self._labs.uploaded(one)
                planned(one, uploaded.shape if uploaded is not None else None)
        id = self._labs.open(spec, compare)
        slots = ["a"] if compare is None else ["a", "b"]
        return _json({"id": id, "spec": spec.to_dict(), "state": spec.to_state(), "slots": slots}, 201)

    async def close(self, request: Request) -> Response:
        """A lab that is not needed any more."""
        self._labs.close_lab(request.path_params["id"])
        return _empty()

    async def events(self, request: Request) -> Response:
        """What happens in a lab, as server-sent events."""
        listening = self._labs.listen(request.path_params["id"])
        first = await anext(listening)  # raises where there is no such lab, while that can still be said

        async def stream() -> AsyncIterator[str]:
            try:
                yield _event(*first)
                async for name, data in listening:
                    yield _event(name, data)
            finally:
                await listening.aclose()

        from starlette.responses import StreamingResponse

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def command(self, request: Request) -> Response:
        """Something a lab is to do."""
        status, data = await self._labs.do(request.path_params["id"], await _body(request))
        return _json(data, status)

    async def upload(self, request: Request) -> Response:
        """A file of the student's own."""
        text = (await _body(request)).get("text")
        if not isinstance(text, str):
            raise RefusedError("csv_text", {}, "csv")
        found = await asyncio.to_thread(csv_data.read, text)
        self._labs.keep(found)
        return _json(found.to_dict())

    async def link(self, request: Request) -> Response:
        """The address at which a class opens a lab as it is, and its code."""
        fragment = (await _body(request)).get("fragment")
        if self._classroom is None or not isinstance(fragment, str):
            raise RefusedError("no_class", status=404)
        return _json(self._classroom.opening(fragment).to_dict())

    async def lesson(self, request: Request) -> Response:
        """A guided page."""
        return _json(page_of(request.path_params["id"]))

    async def lesson_result(self, request: Request) -> Response:
        """What a lesson's own experiment gave, once it has been made."""
        guide = guide_of(request.path_params["id"])
        result = self._behind.lesson(guide.lesson)
        if result is None:
            return _json({"state": "running"}, 202)
        return _json(await asyncio.to_thread(result_of, result))

    async def answers(self, request: Request) -> Response:
        """The answer sheet."""
        html = sheet(await _body(request))
        return _html(html, {"content-disposition": 'attachment; filename="answers.html"'})


def _refusing(handler: Handler) -> Handler:
    """A handler that answers with what was refused, and why."""

    async def handled(request: Request) -> Response:
        try:
            return await handler(request)
        except RefusedError as error:
            return _json(error.to_dict(), error.status)

    return handled


async def _no_lab(_request: Request, _error: Exception) -> Response:
    return _json(RefusedError("lab", status=404).to_dict(), 404)


def _file(name: str, kind: str) -> Handler:
    """A file of the built page."""

    async def served(_request: Request) -> Response:
        text = asset(name)
        return _plain("404: the page has not been built.\n", 404) if text is None else _text(text, kind)

    return served


def _json(data: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    text = data if isinstance(data, str) else strict_json(data)
    return Response(text, status_code=status, media_type="application/json")


def _text(text: str, kind: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(text, status_code=status, media_type=f"{kind}; charset=utf-8", headers=headers)


def _html(text: str, headers: dict[str, str] | None = None) -> Response:
    return _text(text, "text/html", headers)


def _plain(text: str, status: int) -> Response:
    return _text(text, "text/plain", status=status)


def _empty(headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    return Response(status_code=204, headers=headers)


def serve(sock: socket.socket, session: Session, setting: Setting) -> None:
    """Serve until the process is told to end; it then ends within two seconds, whatever its children are doing.

    Args:
        sock: That listens.
        session: Whose token opens the page.
        setting: How it is served.
    """
    pool = Pool()
    running = server(application(session, setting, pool), lifespan="on")
    # On this one server: uvicorn hands signals to what the instance has, and the live page serves by its class too.
    running.handle_exit = _in_time(running.handle_exit, pool)  # type: ignore[method-assign,assignment]
    running.run(sockets=[sock])


def _in_time(handle: Callable[[int, FrameType | None], None], pool: Pool) -> Callable[[int, FrameType | None], None]:
    """A signal handler that does not wait for what loads a library from a slow disk, nor for those who listen."""

    def handled(number: int, frame: FrameType | None) -> None:
        last = threading.Timer(ENDS_S, _end_now)
        last.daemon = True
        last.start()
        pool.let_go()
        handle(number, frame)

    return handled


def _end_now() -> None:
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(INTERRUPTED)


def _event(name: str, data: str) -> str:
    # strict JSON has no line break of its own
    return f"event: {name}\ndata: {data}\n\n" if name else ": still here\n\n"


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        RefusedError: If it is none, or too long.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusedError("json", status=415)
    written = bytearray()
    async for chunk in request.stream():
        written += chunk
        if len(written) > MOST_BODY:
            raise RefusedError("csv_bytes", {"most": csv_data.MOST_BYTES}, status=413)  # nothing else is as long
    try:
        data = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise RefusedError("json") from error
    if not isinstance(data, dict):
        raise RefusedError("json")
    return data


def _spec(body: dict[str, Any], state: str, spec: str) -> Spec | None:
    """A spec in either form, ``None`` if there is neither."""
    if body.get(state) is not None:
        return Spec.from_state(body[state])
    return Spec.from_dict(body[spec]) if body.get(spec) is not None else None
