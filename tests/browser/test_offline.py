"""S12: a report in a namespace of the network that nothing leads out of, and with every request refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.report.view import REPORT_BYTES
from headwater.store import Writer
from headwater.store.columns import SITES
from tests.browser.conftest import ARGUMENTS, Open, passed_over
from tests.growing import grow

if TYPE_CHECKING:
    from playwright.sync_api import Request, Route

OPENS = """
import json, socket, sys
from playwright.sync_api import sync_playwright

try:
    socket.create_connection(("1.1.1.1", 53), timeout=2)
    reachable = True
except OSError:
    reachable = False
asked, said = [], []
with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=sys.argv[2], args=json.loads(sys.argv[3]))
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda one: said.append(one.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(sys.argv[1])
    page.wait_for_selector("html[data-ready] canvas[data-drawn-ms]")
    heading = page.inner_text("h1")
    browser.close()
print(json.dumps({"reachable": reachable, "asked": asked, "said": said, "heading": heading}))
"""


@pytest.fixture
def no_network() -> list[str]:
    """What a command is begun with, so that it has no network at all."""
    unshare = shutil.which("unshare")
    alone = [unshare or "unshare", "--map-root-user", "--net"]
    if unshare is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        passed_over("this machine lets nobody have a network namespace of their own")
    return alone


def test_report_is_written_and_opened_without_a_network(tmp_path: Path, no_network: list[str]) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        passed_over("no chromium on this machine")
    pytest.importorskip("playwright")
    run, page = tmp_path / "a", tmp_path / "r.html"
    grow(run, 20)
    subprocess.run([*no_network, sys.executable, "-m", "headwater", "report", str(run), "-o", str(page)], check=True)
    command = [sys.executable, "-c", OPENS, page.as_uri(), str(chromium), json.dumps(ARGUMENTS)]
    done = subprocess.run([*no_network, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["reachable"]
    assert found["asked"] == [page.as_uri()]
    assert found["said"] == []
    assert found["heading"]


def test_report_needs_none_of_the_requests_that_are_refused(visit: Open, report: str) -> None:
    opened = visit("about:blank", wait=False)
    refused: list[str] = []

    def refuse(route: Route, request: Request) -> None:
        if request.url == report:
            route.continue_()
            return
        refused.append(request.url)
        route.abort()

    opened.page.route("**/*", refuse)
    opened.page.goto(report)
    opened.page.wait_for_selector("html[data-ready] canvas[data-drawn-ms]")
    opened.page.get_by_role("button", name="한국어").click()
    assert refused == []
    assert opened.complaints == []


def test_report_of_sixty_layers_and_two_thousand_steps_is_small_and_names_no_place(tmp_path: Path) -> None:
    """As the command writes it, of a run in a folder whose name would show."""
    run, page = tmp_path / "of-a-certain-user" / "run", tmp_path / "r.html"
    writer, random = Writer(run), np.random.default_rng(0)
    writer.add_rows("sites", [{"name": f"blocks.{n}", "order": n, "op": "Linear", "kind": "affine"} for n in range(60)])
    for step in range(2000):
        assert writer.step(step, {"sites": random.lognormal(-9, 4, (60, len(SITES)))}, float(random.random()))
    writer.close()
    subprocess.run([sys.executable, "-m", "headwater", "report", str(run), "-o", str(page)], check=True)
    data = page.read_bytes()
    assert len(data) <= REPORT_BYTES == 600_000
    for part in (str(tmp_path), "of-a-certain-user", str(Path.home()) + "/"):
        assert part.encode() not in data
