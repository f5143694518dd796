"""Who may ask: a browser on this machine that was given the token, from a page of ours. Everybody else gets 403.

A page elsewhere can make a browser send requests here, under any name that resolves to this machine (DNS rebinding). So
the name asked for must be this machine's, the page asking must be ours, and what holds data needs a cookie that only
the token, printed where the server was started, is exchanged for.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
TOKEN_HEADER = "x-headwater-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]


class Session:
    """The token of one server, and the cookie it is exchanged for.

    Args:
        token: Known to whoever read the printed address; by default a new one.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._secret = secrets.token_urlsafe(32)

    def cookie(self, port: int) -> str:
        """The cookie to set; its name has the port in it, because cookies do not tell ports apart."""
        return f"{_name(port)}={self._secret}; Path=/; HttpOnly; SameSite=Strict"

    def accepts(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.token.encode())

    def knows(self, cookies: str, port: int) -> bool:
        """Whether the cookie is among those that a browser sent."""
        try:
            morsel = SimpleCookie(cookies).get(_name(port))
        except CookieError:
            return False
        return morsel is not None and secrets.compare_digest(morsel.value.encode(), self._secret.encode())


class Guard:
    """Lets through what may pass, and puts the headers on every answer.

    Args:
        app: Behind it.
        session: Whose cookie opens ``/api/``.
        hosts: Names that may be asked for; by default those of this machine alone.
        changes: Whether who has the cookie may change something.
    """

    def __init__(self, app: App, session: Session, hosts: frozenset[str] = HOSTS, changes: bool = False) -> None:
        self._app = app
        self._session = session
        self._hosts = hosts
        self._changes = changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await _refuse(refusal, answer)
        else:
            await self._app(scope, receive, answer)

    def _refusal(self, scope: Scope) -> str:
        """Why a request may not pass, ``""`` if it may."""
        headers = _headers(scope)
        host = headers.get("host", "")
        if _without_port(host) not in self._hosts:
            return f"this server answers to {' and '.join(sorted(self._hosts - {'[::1]'}, reverse=True))} only"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "a page of another origin has asked"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "a page of another site has asked"
        path, method = scope["path"], scope["method"]
        if method not in ("GET", "HEAD") and path != "/api/session" and not self._changes:
            return "nothing can be changed here"
        is_open = not path.startswith("/api/") or path == "/api/session"
        if is_open or self._session.knows(headers.get("cookie", ""), port_of(scope)):
            return ""
        return "the token is missing: open the whole address that the command printed"


def port_of(scope: Scope) -> int:
    """The port that a request came to; 0 for a Unix socket."""
    server = scope.get("server")
    return int(server[1] or 0) if server else 0


def _name(port: int) -> str:
    return f"headwater-{port}"


def _headers(scope: Scope) -> dict[str, str]:
    """Headers by name; one that came twice is none that can be trusted, and reads as empty."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in found and key in ("host", "origin") else value.decode("latin-1")
    return found


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


async def _refuse(why: str, send: Send) -> None:
    body = f"403: {why}.\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
