"""The live page in a real browser: who is let in, what is shown, and what becomes of it when somebody goes away."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.growing import grow
from tests.server.serving import Served, serving

MEASURED = "() => Number((document.querySelector('.run-name .faint')?.innerText ?? '0').split(' ')[0].replace(',', ''))"


@contextmanager
def growing(run: Path, steps: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that records into ``run``."""
    child = subprocess.Popen([sys.executable, "-m", "tests.growing", str(run), str(steps), "0.03"])
    try:
        while not (run / "run.json").exists():
            time.sleep(0.05)
        yield child
    finally:
        child.kill()
        child.wait(timeout=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("runs")
    grow(root / "first", 20)
    with serving(root) as found:
        yield found


def test_page_is_let_in_by_the_printed_address_and_forgets_the_token(visit: Open, served: Served) -> None:
    opened = visit(served.url)
    assert served.session.token not in opened.page.url
    assert opened.page.inner_text(".run-name b") == "first"
    assert opened.page.evaluate("document.cookie") == ""
    opened.page.reload()
    opened.page.wait_for_selector("canvas[data-drawn-ms]")
    assert all(served.session.token not in url.split("#")[0] for url in opened.requests)
    assert all(url.startswith((f"http://127.0.0.1:{served.port}/", "data:")) for url in opened.requests)
    assert opened.complaints == []


def test_page_without_the_token_shows_no_data(visit: Open, served: Served) -> None:
    for address in (f"http://127.0.0.1:{served.port}/", f"http://127.0.0.1:{served.port}/#token=wrong"):
        opened = visit(address, wait=False)
        opened.page.wait_for_selector("[role=alert]")
        assert "the whole address that the command printed" in opened.page.inner_text("[role=alert]")
        assert "first" not in opened.page.inner_text("main")


def test_page_grows_with_the_training_and_tells_when_it_dies(visit: Open, tmp_path: Path) -> None:
    run = tmp_path / "grows"
    with growing(run, 100_000) as training, serving(run) as served:
        opened = visit(served.url)
        page = opened.page
        seen = page.evaluate(MEASURED)
        opened.until(f"({MEASURED})() > {seen + 5}")
        assert page.locator(".state.running").count() == 1
        assert re.search(r"step \d", opened.cursor())
        page.reload()  # late or again, nothing is lost
        page.wait_for_selector("canvas[data-drawn-ms]")
        opened.until(f"({MEASURED})() > {seen + 5}")
        training.kill()
        page.wait_for_selector(".state.silent", timeout=30_000)
        known = page.evaluate(MEASURED)
        again = visit(served.url)
        again.until(f"({MEASURED})() >= {known}")
        assert opened.complaints == []


def test_page_says_that_the_server_has_gone(visit: Open, tmp_path: Path) -> None:
    run = tmp_path / "a"
    grow(run, 5)
    with serving(run) as served:
        opened = visit(served.url)
    opened.page.wait_for_selector(".state.lost")
    assert opened.page.locator("#map canvas").count() == 1


def test_run_is_chosen_among_several(visit: Open, tmp_path: Path) -> None:
    for name in ("one", "two"):
        grow(tmp_path / name, 4)
    with serving(tmp_path) as served:
        opened = visit(served.url)
        page = opened.page
        chosen = page.locator(".names select")
        assert sorted(chosen.locator("option").all_inner_texts()) == ["one", "two"]
        other = ({"one", "two"} - {page.inner_text(".run-name b")}).pop()
        chosen.select_option(label=other)
        opened.until(f"document.querySelector('.run-name b')?.innerText === '{other}'")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Another site: another port of this machine, which a browser counts as another origin."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>elsewhere</p>")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/"
        server.shutdown()


def test_another_site_reads_nothing_and_frames_nothing(visit: Open, served: Served, elsewhere: str) -> None:
    opened = visit(served.url)
    page = opened.page.context.new_page()  # has the cookie
    page.goto(elsewhere)
    target = f"http://127.0.0.1:{served.port}/api/runs"
    read = """url => fetch(url, {credentials: "include"}).then(answer => answer.text(), () => "refused")"""
    assert page.evaluate(read, target) == "refused"
    sent = """url => fetch(url, {method: "POST", mode: "no-cors", credentials: "include"})
      .then(answer => answer.type, () => "refused")"""
    assert page.evaluate(sent, target) in ("opaque", "refused")
    events = """url => new Promise(end => { const s = new EventSource(url, {withCredentials: true});
      s.onmessage = s.onopen = () => end("open"); s.onerror = () => end("refused"); })"""
    assert page.evaluate(events, f"{target}/{served.shelf.runs()[0].id}/events") == "refused"
    framed = """url => new Promise(end => { const f = document.createElement("iframe"); f.src = url;
      f.onload = () => end(); document.body.append(f); })"""
    page.evaluate(framed, f"http://127.0.0.1:{served.port}/")
    frame = page.frames[-1]
    assert frame.locator("#app").count() == 0
