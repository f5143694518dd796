"""A server that really listens, in a thread, and requests written out header by header."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headwater.server.address import listening
from headwater.server.app import application, server
from headwater.server.guard import Session
from headwater.server.shelf import Shelf


@dataclass
class Served:
    """A server: where it listens, and what opens it."""

    port: int
    session: Session
    shelf: Shelf
    cookie: str = field(default="")

    def __post_init__(self) -> None:
        self.cookie = self.session.cookie(self.port).split(";")[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/#token={self.session.token}"

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", host: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; nothing is added to the headers but a Host."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            body = b"" if found.get("content-type", "").startswith("text/event-stream") else answer.read()
            return answer.status, found, body
        finally:
            connection.close()

    def ask_admitted(self, path: str, **further: object) -> tuple[int, dict[str, str], bytes]:
        return self.ask(path, {"Cookie": self.cookie}, **further)  # type: ignore[arg-type]


@contextmanager
def serving(root: Path, port: int | None = None) -> Iterator[Served]:
    session, sock, shelf = Session(), listening(port), Shelf(root)
    running = server(application(shelf, session, "en"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield Served(sock.getsockname()[1], session, shelf)
    finally:
        running.should_exit = True
        thread.join(timeout=20)
        sock.close()
