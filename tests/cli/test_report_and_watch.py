"""``headwater report``, ``headwater watch`` and ``compare --html``: one file to send, one page to watch."""

import json
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from headwater.cli.main import cli
from headwater.report.view.page import DATA_ID
from headwater.server import address
from tests.growing import grow
from tests.report import samples


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, list(arguments))
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "grown"
    grow(folder, 30)
    return folder


def views(page: Path) -> list[dict]:
    content = page.read_text(encoding="utf-8")
    data = re.search(rf'<script type="application/json" id="{DATA_ID}">(.*?)</script>', content, re.DOTALL)
    return json.loads(data[1])["views"]


def test_report_of_a_run_is_one_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    assert run("report", str(folder), "-o", str(page)) == (0, f"Report written to {page}\n")
    (view,) = views(page)
    assert view["name"] == "grown"
    assert view["measured"] == 30
    assert [site["name"] for site in view["sites"]] == [f"layer.{i}" for i in range(6)]


def test_report_as_json_is_the_view_and_nothing_else(folder: Path) -> None:
    status, output = run("report", str(folder), "--json")
    assert status == 0
    assert json.loads(output)["schema"] == "headwater/view/1"


def test_report_speaks_the_language_asked_for(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    status, output = run("report", str(folder), "-o", str(page), "--lang", "ko")
    assert status == 0
    assert re.search("[가-힣]", output)
    assert '<html lang="ko">' in page.read_text(encoding="utf-8")


def test_report_of_a_saved_check_is_its_own_page(tmp_path: Path) -> None:
    report = samples.report(1)
    report.save(tmp_path / "report.json")
    assert run("report", str(tmp_path / "report.json"), "-o", str(tmp_path / "r.html"))[0] == 0
    report.save(tmp_path / "own.html")
    assert (tmp_path / "r.html").read_text() == (tmp_path / "own.html").read_text()
    status, output = run("report", str(tmp_path / "report.json"), "--json")
    assert status == 0
    assert json.loads(output) == json.loads(report.to_json())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "{tmp}/nothing"], "is no run: there is no such folder"),
        (["report", "{tmp}"], "is no run"),
        (["report", "{tmp}/other.json"], "no headwater report"),
        (["report", "{run}", "-o", "{tmp}/r.pdf"], "a page ends in .html: -o"),
        (["report", "{run}", "-o", "{tmp}/none/r.html"], "there is no folder"),
        (["watch", "{tmp}/nothing"], "is no run, and no folder with runs"),
        (["watch", "{run}", "--host", "0.0.0.0"], "ssh -L 7723:127.0.0.1:7723"),
        (["compare", "{run}", "{tmp}/nothing"], "is no run"),
        (["compare", "{run}", "{run}", "--html", "{tmp}/x.txt"], "ends in .html"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(folder: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "other.json").write_text("{}")
    status, output = run(*(one.format(tmp=tmp_path, run=folder) for one in arguments))
    assert status == 2
    assert said in " ".join(output.split())
    assert "Traceback" not in output


def test_compare_writes_both_runs_on_one_page(folder: Path, tmp_path: Path) -> None:
    grow(tmp_path / "other", 20)
    page = tmp_path / "both.html"
    status, _ = run("compare", str(folder), str(tmp_path / "other"), "--html", str(page))
    assert status == 0
    assert [view["name"] for view in views(page)] == ["grown", "other"]
    data = json.loads(page.read_text().split(f'id="{DATA_ID}">')[1].split("</script>")[0])
    assert data["difference"]["pairs"] == [[i, i] for i in range(6)]


def test_port_in_use_is_told_and_another_is_taken(folder: Path) -> None:
    with socket.create_server((address.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        status, output = run("watch", str(folder), "--port", str(port))
        assert status == 2
        assert f"port {port} cannot be used" in output
        assert f"--port {port + 1}" in output


def test_next_free_port_is_taken_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((address.HOST, 0)) as taken:
        monkeypatch.setattr(address, "PORT", taken.getsockname()[1])
        with address.listening() as found:
            assert found.getsockname()[1] != taken.getsockname()[1]


def test_missing_packages_are_named_with_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: None if name == "uvicorn" else object())
    status, output = run("watch", str(folder))
    assert status == 2
    assert 'the live page needs uvicorn: pip install "headwater[lab]"' in output


def test_watch_serves_the_run_at_the_printed_address(folder: Path) -> None:
    command = [sys.executable, "-m", "headwater", "watch", str(folder), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        place, _, token = told["url"].partition("#token=")
        assert b'id="app"' in urllib.request.urlopen(place).read()
        asked = urllib.request.Request(f"{place}api/session", method="POST", headers={"X-Headwater-Token": token})
        cookie = urllib.request.urlopen(asked).headers["set-cookie"].split(";")[0]
        listed = urllib.request.Request(f"{place}api/runs", headers={"Cookie": cookie})
        assert [one["name"] for one in json.loads(urllib.request.urlopen(listed).read())] == ["grown"]
    finally:
        child.terminate()
        assert child.wait(timeout=30) is not None
