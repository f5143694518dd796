"""The lab over HTTP: who may ask, what is answered, and what one student does to another."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from headwater.lab.csv_data import MOST_BYTES
from headwater.lab.pool import Pool
from headwater.lab.server import MOST_BODY
from tests.helpers import python, typed
from tests.lab.files import IRIS_LIKE
from tests.lab.serving import Client, serving, shared_among

SMALL = {"depth": 3, "width": 8, "data": "moons"}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as found:
        yield found


def test_server_and_everything_before_a_network_need_no_torch() -> None:
    code = (
        "import sys, headwater.lab.server, headwater.cli.lab; from headwater.lab.facts import facts; facts(); "
        "from headwater.lab.guided import page_of; from headwater.lab.guides import GUIDES; "
        "print('torch' in sys.modules, 'numba' in sys.modules)"
    )
    assert python(code) == "False False"


@pytest.mark.parametrize("path", ["/api/lab/facts", "/api/lab/lessons/vanishing", "/api/lab/sessions/x/events"])
def test_nothing_is_told_without_the_cookie(client: Client, path: str) -> None:
    assert client.ask("GET", path, headers={"cookie": ""})[0] == 403


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_other_sites_and_names_are_refused(client: Client, headers: dict[str, str]) -> None:
    assert client.ask("POST", "/api/lab/sessions", {}, headers)[0] == 403


def test_token_is_exchanged_for_a_cookie(client: Client) -> None:
    assert client.ask("POST", "/api/session", headers={"x-headwater-token": "wrong"})[0] == 403
    status, headers, _ = client.ask("POST", "/api/session", headers={"x-headwater-token": client.session.token})
    assert (status, headers["set-cookie"].split(";")[0]) == (204, client.cookie)


def test_shell_allows_scripts_of_ours_only_and_holds_all_texts(client: Client) -> None:
    status, headers, html = client.ask("GET", "/?lang=ko")
    assert status == 200
    assert "script-src 'self'" in headers["content-security-policy"]
    assert '<html lang="ko">' in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    data = json.loads(html.partition('id="headwater-data">')[2].partition("</script>")[0])
    assert data["mode"] == "lab"
    assert data["texts"]["en"].keys() == data["texts"]["ko"].keys()


def test_facts_describe_every_control_in_both_languages(client: Client) -> None:
    status, _, facts = client.ask("GET", "/api/lab/facts")
    assert status == 200
    assert facts["classroom"] is None
    assert {control["id"] for control in facts["controls"]} >= {"depth", "activation", "init", "l1"}
    sigmoid = next(one for one in facts["activations"] if one["id"] == "sigmoid")
    assert max(sigmoid["slope"]) == 0.25
    assert all(lesson["title"]["ko"] for lesson in facts["lessons"])


def test_lab_is_opened_played_and_closed(client: Client) -> None:
    lab = client.open(**SMALL)
    start = lab.wait("frame")
    assert start["kind"] == "start"
    assert lab.do("play", pace=0)[0] == 200
    lab.wait("frame", lambda data: data["step"] > 5)
    status, data = lab.do("pause")
    assert status == 200
    assert not data["lab"]["playing"]
    expected = lab.wait("prediction")
    assert len(expected["sites"]["gradient"]) == len(lab.wait("network")["sites"])
    assert client.ask("DELETE", f"/api/lab/sessions/{lab.id}")[0] == 204
    assert lab.do("play")[0] == 404
    lab.close()


def test_later_listener_gets_everything_and_the_earlier_one_ends(client: Client) -> None:
    lab = client.open(**SMALL)
    lab.wait("frame")
    lab.do("step", steps=9)
    lab.wait("frame", lambda data: data["step"] == 9)
    again = type(lab)(client, lab.id)
    found = again.wait("frame")
    assert [row[0] for row in found["course"]] == list(range(9))
    assert again.wait("diagnosis")["step"] == 9


def test_state_from_an_address_opens_the_same_lab(client: Client) -> None:
    status, _, data = client.ask("POST", "/api/lab/sessions", {"state": "depth.3~width.8~data.moons~seed.4"})
    assert status == 201
    assert data["spec"]["seed"] == 4
    assert data["state"] == "depth.3~width.8~data.moons~seed.4"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "depth.10000"}, 400),
        ({"state": "<script>"}, 400),
        ({"spec": {"width": 0}}, 400),
        ({"spec": {"depth": 100, "width": 256}}, 400),
        ({"spec": {"data": "csv", "csv": "00"}}, 400),
        ({"spec": []}, 400),
        ({"spec": {}, "compare": {"depth": 0}}, 400),
    ],
)
def test_hostile_opening_is_refused_in_both_languages(client: Client, body: dict[str, Any], status: int) -> None:
    found, _, data = client.ask("POST", "/api/lab/sessions", body)
    assert found == status
    assert data["error"]["text"]["en"] != data["error"]["text"]["ko"]


def test_bodies_that_are_none_are_refused(client: Client) -> None:
    assert client.ask("POST", "/api/lab/sessions", [1])[0] == 400
    assert client.ask("POST", "/api/lab/sessions", {}, {"content-type": "text/plain"})[0] == 415
    status, _, long = client.ask("POST", "/api/lab/csv", {"text": "x" * (MOST_BODY + 1)})
    assert status == 413
    assert str(MOST_BYTES) in long["error"]["text"]["en"]  # as of a file that is just too large
    assert client.ask("POST", "/api/lab/csv", {"text": 3})[0] == 400
    assert client.ask("GET", "/api/lab/sessions/none/events")[0] == 404
    assert client.ask("GET", "/api/lab/lessons/none")[0] == 404


def test_uploaded_file_is_trained_on(client: Client) -> None:
    status, _, found = client.ask("POST", "/api/lab/csv", {"name": "a.csv", "text": IRIS_LIKE})
    assert status == 200
    assert found["dropped"]["rows"] == 1
    lab = client.open(**SMALL)
    lab.wait("frame")
    assert lab.do("change", controls={"data": "csv", "csv": found["csv"]})[0] == 200
    lab.wait("network", lambda data: data["inputs"] == 2 and data["train"] == 47)
    assert client.open(data="csv", csv=found["csv"], depth=2, width=4).wait("network")["train"] == 47


def test_network_that_a_remedy_cannot_work_on_is_told(client: Client) -> None:
    lab = client.open(**SMALL, remedies=["recurrent.orthogonal"])
    told = lab.wait("trouble")
    assert told["fatal"]
    assert "recurrent.orthogonal" in told["said"]["ko"]


def test_lesson_runs_its_own_experiment_once(client: Client) -> None:
    assert client.ask("GET", "/api/lab/lessons/xavier-relu")[2]["id"] == "xavier-relu"
    end = time.monotonic() + 120
    while True:
        status, _, data = client.ask("GET", "/api/lab/lessons/xavier-relu/result")
        if status == 200 or time.monotonic() > end:
            break
        assert data == {"state": "running"}
        time.sleep(0.3)
    assert data["holds"]
    assert client.ask("GET", "/api/lab/lessons/xavier-relu/result")[2]["result"] == data["result"]


def test_answer_sheet_is_a_file(client: Client) -> None:
    body = {"name": "Lee", "language": "ko", "answers": [{"lesson": "he", "choice": 2}]}
    status, headers, html = client.ask("POST", "/api/lab/answers", body)
    assert status == 200
    assert "attachment" in headers["content-disposition"]
    assert "Lee" in html


def test_one_students_monster_does_not_keep_another_waiting(client: Client) -> None:
    """The largest network there may be takes its turns; a small one beside it gets half of the time."""
    small = client.open(**SMALL)
    small.wait("frame")
    small.do("play", pace=0)
    monster = client.open(depth=100, width=70, batch_size=512, activation="relu", init="he")
    monster.wait("frame")
    monster.do("play", pace=0)
    monster.wait("frame", lambda data: data["step"] > 0)
    before, began = small.seen("frame")[-1]["step"], time.monotonic()
    waits = []
    while time.monotonic() - began < 6:
        asked = time.monotonic()
        assert small.do("view", views=[])[0] == 200
        waits.append(time.monotonic() - asked)
        time.sleep(0.2)
    taken = small.seen("frame")[-1]["step"] - before
    assert taken > 40
    assert sorted(waits)[len(waits) // 2] < 2.0
    client.ask("DELETE", f"/api/lab/sessions/{monster.id}")
    client.ask("DELETE", f"/api/lab/sessions/{small.id}")


def test_lab_goes_on_when_its_process_is_killed(client: Client) -> None:
    lab = client.open(**SMALL)
    lab.wait("frame")
    os.kill(client.pool.processes[0], signal.SIGKILL)
    assert not lab.wait("trouble")["fatal"]
    lab.wait("torch", lambda data: data["state"] == "loading")
    lab.events.clear()
    lab.wait("frame", lambda data: data["kind"] == "start")
    status, _ = lab.do("step", steps=3)
    assert status == 200
    lab.wait("frame", lambda data: data["step"] == 3)


def failing(*_arguments: Any) -> None:
    """An engine that cannot be loaded."""
    raise ImportError("no such library")


def test_engine_that_cannot_be_loaded_is_told_and_not_tried_for_ever() -> None:
    with serving(pool=Pool(1, failing)) as client:
        lab = client.open(**SMALL)
        assert lab.wait("trouble", lambda data: data["fatal"])["said"]["ko"].startswith("엔진")
        status, _, data = client.ask("POST", "/api/lab/sessions", {"spec": SMALL})
        assert status == 503
        assert data["error"]["id"] == "lab.engine.refused.no_engine"
        lab.close()


def test_class_gets_an_address_and_a_picture_of_it() -> None:
    with serving(host="0.0.0.0") as client:
        _, _, facts = client.ask("GET", "/api/lab/facts")
        assert client.session.token in facts["classroom"]["url"]
        assert facts["classroom"]["qr"].startswith("<svg")
        assert client.ask("GET", "/", headers={"host": "evil.example"})[0] == 403
        fragment = "lab=depth.5~locked.depth*seed&lang=ko"
        status, _, link = client.ask("POST", "/api/lab/link", {"fragment": fragment})
        assert (status, link["url"]) == (200, f"{facts['classroom']['url']}&{fragment}")
        assert link["qr"].startswith("<svg")
        assert link["qr"] != facts["classroom"]["qr"]
        for hostile in ("lab=<script>", "lab=" + "a" * 3000, 3, None):
            status, _, data = client.ask("POST", "/api/lab/link", {"fragment": hostile})
            assert status in (400, 404)
            assert data["error"]["text"]["ko"]


def test_there_is_no_link_for_a_class_where_none_is_served(client: Client) -> None:
    assert client.ask("POST", "/api/lab/link", {"fragment": "lab=depth.5"})[0] == 404


# The command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--lesson", "nothing"), "there are perceptron-forward, backprop"),
        (("--port", "0"), "port"),
        (("--host", "256.1.1.1"), "256.1.1.1"),
        (("--lang", "fr"), "fr"),
    ],
)
def test_command_line_that_cannot_be_used_exits_2(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = typed("lab", "--no-open", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr


def test_command_serves_at_once_and_ends_with_its_children(tmp_path: Path) -> None:
    code = "from headwater.cli.main import main; main()"
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "lab", "--no-open", "--json"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        assert url.startswith("http://127.0.0.1:")
        assert time.monotonic() - began < 20
        client = Client.at(url)
        status, _, data = client.ask("GET", "/api/lab/lessons/overfitting/result")  # half a minute of work
        assert (status, data) == (202, {"state": "running"})
        time.sleep(2)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.terminate()
    assert process.wait(timeout=20) == 130
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_command_ends_without_a_traceback_while_a_student_waits_for_an_answer(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater", "lab", "--no-open", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    client = Client.at(json.loads(process.stdout.readline())["url"])
    lab = client.open(**SMALL)
    lab.wait("torch", lambda data: data["state"] == "loading")
    children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        child.suspend()  # nobody will answer

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            lab.do("step")

    threading.Thread(target=ask, daemon=True).start()
    while len(psutil.Process(process.pid).net_connections()) < 3:  # it listens, sends events, and is asked something
        time.sleep(0.02)
    time.sleep(0.2)  # read as well as accepted
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=20) == 130
    finally:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    assert "Traceback" not in process.communicate()[1]


STUBBORN = """
import time
from headwater.lab.pool import Pool
Pool.close = lambda self: time.sleep(60)  # as if a process sat in the middle of reading a library from a slow disk
from headwater.cli.main import main
main()
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_command_ends_within_two_seconds_whatever_its_children_do(tmp_path: Path, sent: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, "lab", "--no-open", "--json"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    client = Client.at(json.loads(process.stdout.readline())["url"])
    lab = client.open(**SMALL)  # while its processes load
    lab.wait("torch", lambda data: data["state"] == "loading")
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(sent)
    assert process.wait(timeout=20) == 130
    assert time.monotonic() - began <= 2.0 * shared_among()
    assert psutil.wait_procs(children, timeout=20)[1] == []
    lab.close()
