"""What an attacker elsewhere can try: every row is a request that was answered by some other tool (FAULTS 4)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.records import InputError, Message
from headwater.report.files import write_whole
from headwater.report.words import Words
from headwater.server.address import listening, require_this_machine
from headwater.server.guard import Session
from headwater.server.shelf import Shelf
from tests.growing import grow
from tests.hostile import HOSTILE
from tests.server.serving import Served, serving


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and beside it what must not be seen."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("the secret")
    grow(folder / "runs" / "a", 3)
    grow(folder / "outside", 2)
    (folder / "runs" / "linked").symlink_to(folder / "outside", target_is_directory=True)
    return folder / "runs"


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    with serving(root) as found:
        yield found


# S6: other sites, other names, other users


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7723", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "[::]"]
)
@pytest.mark.parametrize("path", ["/", "/app.js", "/api/runs"])
def test_another_name_for_this_machine_is_refused(served: Served, host: str, path: str) -> None:
    status, _, body = served.ask(path, {"Cookie": served.cookie}, host=host)
    assert status == 403
    assert b"<" not in body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_names_of_this_machine_are_answered(served: Served, host: str) -> None:
    assert served.ask("/", host=f"{host}:{served.port}")[0] == 200
    assert served.ask("/", host=host)[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/runs"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_page_of_another_site_is_refused_even_with_the_cookie(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    assert served.ask(path, {"Cookie": served.cookie, **headers})[0] == 403


def test_own_page_is_answered(served: Served) -> None:
    own = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin", "Cookie": served.cookie}
    assert served.ask("/api/runs", own)[0] == 200


@pytest.mark.parametrize("cookie", ["", "headwater=1", "headwater-{port}=", "headwater-{port}=wrong", "{token}"])
def test_data_need_the_cookie(served: Served, cookie: str) -> None:
    sent = cookie.format(port=served.port, token=f"headwater-{served.port}={served.session.token}")
    id_ = served.shelf.runs()[0].id
    for path in ("/api/runs", f"/api/runs/{id_}/events"):
        assert served.ask(path, {"Cookie": sent})[0] == 403


def test_token_is_exchanged_for_a_cookie_that_no_script_reads(served: Served) -> None:
    status, headers, _ = served.ask("/api/session", {"X-Headwater-Token": served.session.token}, method="POST")
    assert status == 204
    cookie = headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert served.session.token not in cookie
    assert served.ask("/api/runs", {"Cookie": cookie.split(";")[0]})[0] == 200


@pytest.mark.parametrize("headers", [{}, {"X-Headwater-Token": "wrong"}, {"X-Headwater-Token": "ä"}])
def test_wrong_token_opens_nothing(served: Served, headers: dict[str, str]) -> None:
    status, answered, _ = served.ask("/api/session", headers, method="POST")
    assert status == 403
    assert "set-cookie" not in answered


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    status, headers, _ = served.ask("/api/runs", {"Cookie": served.cookie}, method=method)
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control")]


def test_web_sockets_are_not_spoken(served: Served) -> None:
    asked = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "x" * 22 + "==",
        "Sec-WebSocket-Version": "13",
    }
    assert served.ask("/api/runs", asked)[0] in (400, 403, 404)


def test_token_is_in_no_process_list_and_no_log(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "headwater", "watch", str(root)], stdout=subprocess.PIPE, stderr=out
        )
        try:
            assert child.stdout is not None
            url = child.stdout.readline().decode()
            token = url.split("#token=")[1].strip()
            import urllib.request

            urllib.request.urlopen(url.split(": ", 1)[1].split("#")[0]).read()
            assert token.encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
            assert token not in log.read_text()
        finally:
            child.terminate()
            child.wait(timeout=20)


# S3: headers on every answer


@pytest.mark.parametrize("path", ["/", "/app.js", "/app.css", "/api/runs", "/nothing", "/api/runs/x/events"])
def test_every_answer_carries_the_policy(served: Served, path: str) -> None:
    _, headers, _ = served.ask_admitted(path)
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_shell_holds_no_number_and_no_name(served: Served) -> None:
    body = served.ask("/")[2].decode()
    data = json.loads(body.split('id="headwater-data">')[1].split("</script>")[0])
    assert data["views"] == []
    assert served.session.token not in body


# S5: nothing but the runs

TRAVERSALS = [
    "..",
    "../outside",
    "%2e%2e",
    "%2e%2e%2foutside",
    "%252e%252e",
    "..%5c",
    "C:",
    "%00",
    "a",
    "a%00",
    "%2fetc%2fpasswd",
    "linked",
    "NUL",
    "con",
    "secret.txt",
]


@pytest.mark.parametrize("id_", TRAVERSALS)
def test_a_path_is_no_id(served: Served, id_: str) -> None:
    for path in (f"/api/runs/{id_}/events", f"/{id_}", f"/api/runs/{id_}"):
        status, _, body = served.ask_admitted(path)
        assert status == 404, path
        assert b"secret" not in body


def test_ids_say_nothing_and_links_are_not_followed(served: Served, root: Path) -> None:
    listed = json.loads(served.ask_admitted("/api/runs")[2])
    assert [run["name"] for run in listed] == ["a"]
    assert all(run.keys() == {"id", "name"} and run["id"] != "a" and len(run["id"]) == 16 for run in listed)
    assert str(root) not in json.dumps(listed)
    assert served.shelf.path("linked") is None


def test_run_that_became_a_link_is_gone(tmp_path: Path) -> None:
    grow(tmp_path / "runs" / "a", 2)
    shelf = Shelf(tmp_path / "runs")
    (run,) = shelf.runs()
    (tmp_path / "runs" / "a").rename(tmp_path / "elsewhere")
    (tmp_path / "runs" / "a").symlink_to(tmp_path / "elsewhere")
    assert shelf.path(run.id) is None


# S7: this machine alone


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_other_machines_are_refused_and_told_how(host: str) -> None:
    with pytest.raises(InputError, match=r"ssh -L 7723:127\.0\.0\.1:7723"):
        require_this_machine(host)


def test_socket_listens_on_this_machine_alone() -> None:
    with listening() as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


# S8, S9: data are never code


def test_code_in_a_runs_folder_is_never_run(tmp_path: Path) -> None:
    run = tmp_path / "a"
    grow(run, 3)
    canary = tmp_path / "canary"
    for name in ("sitecustomize.py", "model.py", "conftest.py", "headwater.py"):
        (run / name).write_text(f"open({str(canary)!r}, 'w')")
    (run / "headwater.toml").write_text(f'[x]\nrun = \'__import__("os").system("touch {canary}")\'')
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "report", ".", "-o", str(tmp_path / "r.html")],
        cwd=run,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("value", [HOSTILE, "{x.__class__}", "{0.__init__.__globals__}", "%(x)s", "$x"])
def test_values_are_never_templates(value: str) -> None:
    said = Words.of("en").say(Message("event.probe_failed", {"error": value}))
    assert "class 'str'" not in said
    assert "globals" not in said or "{0.__init__.__globals__}" in value


@pytest.mark.parametrize("asked", ["__import__('os')", "{x.__class__}", "1" * 100_000, "(" * 10_000])
def test_hostile_query_is_answered_at_once(served: Served, asked: str) -> None:
    began = time.perf_counter()
    status, _, _ = served.ask_admitted("/api/runs?" + asked[:60_000].replace(" ", "+"))
    assert status in (200, 400, 414, 431)
    assert time.perf_counter() - began < 5


# S11: temporary files


def test_page_is_written_beside_its_place_and_never_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / "r.html").symlink_to(victim)
    write_whole(tmp_path / "r.html", "a page")
    assert victim.read_text() == "as it was"
    assert (tmp_path / "r.html").read_text() == "a page"
    assert not (tmp_path / "r.html").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "victim"]


# S12: nobody is asked

CONNECTS = """
import sys
asked = []
sys.addaudithook(lambda event, args: asked.append(args) if event in ("socket.connect", "socket.getaddrinfo") else None)
from headwater.cli.main import cli
try:
    cli(["report", sys.argv[1], "-o", sys.argv[2]], standalone_mode=False)
finally:
    print(asked)
"""


def test_report_connects_to_nobody(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONNECTS, str(root / "a"), str(tmp_path / "r.html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_session_tokens_are_long_and_new_each_time() -> None:
    tokens = {Session().token for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32
