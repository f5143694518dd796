"""A lab's server that really listens, in a thread, and a client of it."""

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headwater.lab.pool import Pool
from headwater.lab.server import Setting, application
from headwater.server.address import listening
from headwater.server.app import server
from headwater.server.guard import Session


def shared_among() -> float:
    """How many there are for each processor; what a machine gives that others use is its share."""
    return max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)


class Client:
    """One browser."""

    def __init__(self, port: int, session: Session, pool: Pool) -> None:
        self.port, self.session, self.pool = port, session, pool
        self.cookie = session.cookie(port).split(";")[0]

    @staticmethod
    def at(url: str) -> "Client":
        """A browser at the address that the command prints."""
        base, _, token = url.partition("/#token=")
        port = int(base.rpartition(":")[2])
        client = Client(port, Session(token), Pool(1))
        while True:
            try:
                _, headers, _ = client.ask("POST", "/api/session", headers={"x-headwater-token": token})
                break
            except OSError:
                time.sleep(0.05)
        client.cookie = headers["set-cookie"].split(";")[0]
        return client

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        given = {"cookie": self.cookie, **(headers or {})}
        if body is not None:
            given.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            text = answer.read().decode()
            return answer.status, found, json.loads(text) if "json" in found.get("content-type", "") else text
        finally:
            connection.close()

    def open(self, **controls: Any) -> "Opened":
        status, _, data = self.ask("POST", "/api/lab/sessions", {"spec": controls})
        assert status == 201, data
        return Opened(self, data["id"])


class Opened:
    """One lab, and what it says."""

    def __init__(self, client: Client, id: str) -> None:
        self.client, self.id = client, id
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=120)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        self._connection.request("GET", f"/api/lab/sessions/{self.id}/events", headers={"cookie": self.client.cookie})
        answer = self._connection.getresponse()
        name = ""
        try:
            while line := answer.readline().decode():
                if line.startswith("event: "):
                    name = line[7:].strip()
                elif line.startswith("data: "):
                    self.events.append((time.monotonic(), name, json.loads(line[6:])))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):  # the test has closed it
            return

    def do(self, command: str, **more: Any) -> tuple[int, Any]:
        path = f"/api/lab/sessions/{self.id}/commands"
        status, _, data = self.client.ask("POST", path, {"do": command, **more})
        return status, data

    def seen(self, name: str) -> list[dict[str, Any]]:
        return [data for _, event, data in list(self.events) if event == name]

    def wait(self, name: str, fits: Any = lambda data: True, within_s: float = 120.0) -> dict[str, Any]:
        """The first event of a name that fits."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for data in self.seen(name):
                if fits(data):
                    return data
            time.sleep(0.02)
        raise AssertionError(f"no {name} within {within_s} s; there were {[event for _, event, _ in self.events]}")

    def close(self) -> None:
        if self._connection.sock is not None:
            self._connection.sock.close()


@contextmanager
def serving(processes: int = 1, host: str = "127.0.0.1", pool: Pool | None = None) -> Iterator[Client]:
    session, sock, pool = Session(), listening(None), pool or Pool(processes)
    port = sock.getsockname()[1]
    running = server(application(session, Setting(host, port, None, "en"), pool), lifespan="on")
    thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield Client(port, session, pool)
    finally:
        running.should_exit = True
        thread.join(timeout=20)
        sock.close()
