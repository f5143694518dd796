"""The application of the lab: a shell with its script and style, and behind the cookie everybody's labs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.lab import csv_data
from headwater.lab.answers import sheet
from headwater.lab.backroom import Backroom
from headwater.lab.classroom import class_address, qr_code, served_names
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
    from starlette.requests import Request
    from starlette.responses import Response

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
    from starlette.requests import Request as Asked
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.responses import Response as Answer
    from starlette.routing import Route

    labs, behind = pool or Pool(), Backroom()
    labs.on_built = behind.predict
    behind.deliver = labs.deliver
    classroom = _classroom(session, setting) if setting.is_class else None

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        labs.start()
        behind.start()
        try:
            yield
        finally:
            labs.close()
            behind.close()

    def json_answer(data: Any, status: int = 200) -> Response:
        text = data if isinstance(data, str) else strict_json(data)
        return Answer(text, status_code=status, media_type="application/json")

    def answering(handler: Callable[[Any], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def handled(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusedError as error:
                return json_answer(error.to_dict(), error.status)

        return handled

    async def page(request: Request) -> Response:
        language = request.query_params.get("lang")
        chosen = language if language in ("en", "ko") else setting.language
        html = shell(chosen, setting.lesson, setting.is_class)
        return Answer(html, media_type="text/html; charset=utf-8")

    def file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def served(_request: Request) -> Response:
            text = asset(name)
            if text is None:
                return PlainTextResponse("404: the page has not been built.\n", status_code=404)
            return Answer(text, media_type=f"{kind}; charset=utf-8")

        return served

    async def begin(request: Request) -> Response:
        if not session.accepts(request.headers.get(TOKEN_HEADER, "")):
            return PlainTextResponse("403: this is not the token.\n", status_code=403)
        port = request.scope["server"][1] if request.scope.get("server") else 0
        return Answer(status_code=204, headers={"set-cookie": session.cookie(port)})

    async def known(_request: Request) -> Response:
        state = "ready" if labs.ready else "loading"
        return json_answer({**facts(), "torch": state, "classroom": classroom})

    async def opened(request: Request) -> Response:
        body = await _body(request)
        spec = _spec(body, "state", "spec") or Spec()
        compare = _spec(body, "compare_state", "compare")
        for one in (spec, compare):
            if one is not None:
                uploaded = labs.uploaded(one)
                planned(one, uploaded.shape if uploaded is not None else None)
        id = labs.open(spec, compare)
        slots = ["a"] if compare is None else ["a", "b"]
        return json_answer({"id": id, "spec": spec.to_dict(), "state": spec.to_state(), "slots": slots}, 201)

    async def closed(request: Request) -> Response:
        labs.close_lab(request.path_params["id"])
        return Answer(status_code=204)

    async def events(request: Request) -> Response:
        listening = labs.listen(request.path_params["id"])
        first = await anext(listening)  # raises where there is no such lab, while that can still be said

        async def stream() -> AsyncIterator[str]:
            try:
                yield _event(*first)
                async for name, data in listening:
                    yield _event(name, data)
            finally:
                await listening.aclose()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def commanded(request: Request) -> Response:
        status, data = await labs.do(request.path_params["id"], await _body(request))
        return json_answer(data, status)

    async def uploaded(request: Request) -> Response:
        body = await _body(request)
        text = body.get("text")
        if not isinstance(text, str):
            raise RefusedError("csv_text", {}, "csv")
        found = await asyncio.to_thread(csv_data.read, text)
        labs.keep(found)
        return json_answer(found.to_dict())

    async def lesson(request: Request) -> Response:
        return json_answer(page_of(request.path_params["id"]))

    async def lesson_result(request: Request) -> Response:
        guide = guide_of(request.path_params["id"])
        result = behind.lesson(guide.lesson)
        if result is None:
            return json_answer({"state": "running"}, 202)
        return json_answer(await asyncio.to_thread(result_of, result))

    async def answers(request: Request) -> Response:
        html = sheet(await _body(request))
        headers = {"content-disposition": 'attachment; filename="answers.html"'}
        return Answer(html, media_type="text/html; charset=utf-8", headers=headers)

    async def nothing(request: Asked, _error: Exception) -> Response:
        return json_answer(RefusedError("lab", status=404).to_dict(), 404)

    routes = [
        Route("/", page),
        Route("/lab.js", file("lab.js", "text/javascript")),
        Route("/lab.css", file("lab.css", "text/css")),
        Route("/api/session", begin, methods=["POST"]),
        Route("/api/lab/facts", known),
        Route("/api/lab/sessions", answering(opened), methods=["POST"]),
        Route("/api/lab/sessions/{id}", answering(closed), methods=["DELETE"]),
        Route("/api/lab/sessions/{id}/events", answering(events)),
        Route("/api/lab/sessions/{id}/commands", answering(commanded), methods=["POST"]),
        Route("/api/lab/csv", answering(uploaded), methods=["POST"]),
        Route("/api/lab/lessons/{id}", answering(lesson)),
        Route("/api/lab/lessons/{id}/result", answering(lesson_result)),
        Route("/api/lab/answers", answering(answers), methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=running, exception_handlers={404: nothing})
    return Guard(app, session, served_names(setting.host), changes=True)


def serve(sock: socket.socket, session: Session, setting: Setting) -> None:
    """Serve until the process is told to end.

    Args:
        sock: That listens.
        session: Whose token opens the page.
        setting: How it is served.
    """
    server(application(session, setting), lifespan="on").run(sockets=[sock])


def _classroom(session: Session, setting: Setting) -> dict[str, str]:
    url = class_address(setting.host, setting.port, session.token)
    return {"url": url, "qr": qr_code(url)}


def _event(name: str, data: str) -> str:
    return (
        f"event: {name}\ndata: {data}\n\n" if name else ": still here\n\n"
    )  # strict JSON has no line break of its own


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
