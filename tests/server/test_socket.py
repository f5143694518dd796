"""``headwater watch --socket``: for ``ssh -L``, and for nobody else of the machine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.records import InputError
from headwater.server.address import listening_at
from tests.growing import grow
from tests.helpers import typed

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


class Connection(http.client.HTTPConnection):
    """HTTP over the socket, as ssh hands it on."""

    def __init__(self, path: Path) -> None:
        super().__init__("127.0.0.1", 7723, timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self.path))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    grow(tmp_path / "run", 3)
    path = tmp_path / "s"
    command = [sys.executable, "-m", "headwater", "watch", str(tmp_path / "run"), "--socket", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            told = json.loads(child.stdout.readline())
            assert told["socket"] == str(path)
            yield child, path, told["url"].split("#token=")[1]
        finally:
            child.kill()


def ask(path: Path, method: str, what: str, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
    connection = Connection(path)
    connection.request(method, what, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.getheader("set-cookie"), answer.read()
    connection.close()
    return found


def test_page_is_served_to_this_user_and_gone_at_the_end(served: tuple[subprocess.Popen[str], Path, str]) -> None:
    child, path, token = served
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, "GET", "/", {})[0] == 200
    assert ask(path, "GET", "/api/runs", {})[0] == 403
    status, cookie, _ = ask(path, "POST", "/api/session", {"x-headwater-token": token})
    assert (status, bool(cookie)) == (204, True)
    assert cookie is not None
    status, _, body = ask(path, "GET", "/api/runs", {"Cookie": cookie.split(";")[0]})
    assert status == 200
    assert [run["name"] for run in json.loads(body)] == ["run"]
    child.send_signal(signal.SIGINT)
    child.wait(timeout=20)
    assert not path.exists()


def test_socket_of_a_killed_server_is_taken_over_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening_at(path).close()
    assert path.exists()
    with listening_at(path), pytest.raises(InputError, match="another server listens there"):
        listening_at(path)
    file = tmp_path / "notes"
    file.write_text("mine")
    with pytest.raises(InputError, match="left as it is"):
        listening_at(file)
    assert file.read_text() == "mine"
    before = os.umask(0o022)
    os.umask(before)
    with pytest.raises(InputError, match="short path"):
        listening_at(tmp_path / ("long" * 40))
    after = os.umask(before)
    assert after == before


def test_port_beside_a_socket_is_refused(tmp_path: Path) -> None:
    grow(tmp_path / "run", 3)
    done = typed("watch", "run", "--socket", "s", "--port", "8000", cwd=tmp_path)
    assert done.returncode == 2
    assert "leave --port and --open out" in " ".join(done.stderr.split())
