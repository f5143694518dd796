"""The application: a shell, its script and style, and behind the cookie a list of runs and their events."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headwater.i18n import LANGUAGES
from headwater.i18n.catalog import catalog
from headwater.report.view.page import live_shell, script, style
from headwater.server.address import require_packages
from headwater.server.guard import TOKEN_HEADER, App, Guard, Session, port_of
from headwater.server.shelf import Shelf

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response


def application(shelf: Shelf, session: Session, language: str | None = None) -> App:
    """The guarded application over a shelf of runs.

    Args:
        shelf: Whose runs may be seen.
        session: Whose token opens it.
        language: Of the page at first.

    Raises:
        InputError: Without the packages it needs; the message has the command that installs them.
    """
    require_packages()
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.responses import Response as Answer
    from starlette.routing import Route

    async def shell(_request: Request) -> Response:
        return Answer(live_shell(language), media_type="text/html; charset=utf-8")

    async def app_script(_request: Request) -> Response:
        return Answer(script(), media_type="text/javascript; charset=utf-8")

    async def app_style(_request: Request) -> Response:
        return Answer(style(), media_type="text/css; charset=utf-8")

    async def begin(request: Request) -> Response:
        if not session.accepts(request.headers.get(TOKEN_HEADER, "")):
            return PlainTextResponse("403: this is not the token.\n", status_code=403)
        port = port_of(request.scope)
        return Answer(status_code=204, headers={"set-cookie": session.cookie(port)})

    async def listed(_request: Request) -> Response:
        return JSONResponse([{"id": run.id, "name": run.name} for run in shelf.runs()])

    async def followed(request: Request) -> Response:
        from headwater.server.following import events

        path = shelf.path(request.path_params["id"])
        if path is None:
            return PlainTextResponse("404: no such run.\n", status_code=404)
        return StreamingResponse(events(path, shelf.rank), media_type="text/event-stream")

    routes = [
        Route("/", shell),
        Route("/app.js", app_script),
        Route("/app.css", app_style),
        Route("/api/session", begin, methods=["POST"]),
        Route("/api/runs", listed),
        Route("/api/runs/{id}/events", followed),
    ]
    return Guard(Starlette(routes=routes), session)


def serve(
    root: Path, sock: socket.socket, session: Session, language: str | None = None, rank: int | None = None
) -> None:
    """Serve until the process is told to end.

    Args:
        root: A run's folder, or a folder of runs.
        sock: That listens.
        session: Whose token opens the page.
        language: Of the page at first.
        rank: Whose numbers are shown, where several trained together; by default those of all.
    """
    running = server(application(Shelf(root, rank), session, language))
    threading.Thread(target=_load_what_a_run_needs, daemon=True).start()
    running.run(sockets=[sock])


def _load_what_a_run_needs() -> None:
    """While the browser is still busy with the page's own files. Not the rules: what was measured is shown before."""
    for known in LANGUAGES:
        catalog(known)


def server(app: App, lifespan: Literal["on", "off"] = "off") -> uvicorn.Server:
    """The server around an application: it keeps no log, which would hold addresses, and speaks no WebSocket.

    Args:
        app: What answers.
        lifespan: Whether the application has something to do at its start and its end.
    """
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan=lifespan,
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
