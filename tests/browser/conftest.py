"""A real browser, and what a page asked for and complained of in it.

Without one these tests are passed over, and say so; where ``HEADWATER_BROWSER`` is ``required``, as in CI, they fail.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from headwater.report.view import Course, offline_page
from tests.browser.laboratory import Laboratory, laboratory
from tests.runs import large_course, recorded_course

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def shared_among() -> float:
    """How many there are for each processor: on a machine that others use a second is that many seconds."""
    return max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)


ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # CI is root, for whom there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def passed_over(why: str) -> NoReturn:
    """Skip, or fail where a browser is required."""
    if os.environ.get("HEADWATER_BROWSER") == "required":
        pytest.fail(why)
    pytest.skip(why)


@dataclass
class Opened:
    """A page, and what was heard of it meanwhile."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def cursor(self) -> str:
        return self.page.inner_text("#cursor-line")

    def until(self, condition: str, timeout_s: float = 60.0) -> None:
        """Wait for a JavaScript condition; Playwright's own way is an eval, which the page's policy forbids."""
        deadline = time.monotonic() + timeout_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never so: {condition}"
            self.page.wait_for_timeout(50)

    def step(self) -> int:
        return int(self.cursor().split("step ")[1].split(" ")[0].replace(",", ""))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        passed_over("no chromium on this machine: apt-get install chromium fonts-noto-cjk")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        passed_over('no playwright: pip install -e ".[dev]"')
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield started
        started.close()


Open = Callable[..., Opened]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """``visit(url)`` opens a page in a window of its own."""
    contexts = []

    def visited(url: str, *, wait: bool = True, width: int = 1440, height: int = 900, **settings: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda said: opened.complaints.append(f"{said.type}: {said.text}"))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on(
            "dialog", lambda dialog: (opened.complaints.append(f"dialog {dialog.message}"), dialog.dismiss())
        )
        opened.page.goto(url)
        if wait:
            opened.page.wait_for_selector("html[data-ready] canvas[data-drawn-ms]")
        return opened

    yield visited
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A real training that vanishes."""
    return recorded_course(tmp_path_factory.mktemp("runs") / "sigmoid")


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, course: Course) -> Callable[..., str]:
    """``pages(course, ...)`` writes an offline page and gives its address; the real training's by default."""
    folder = tmp_path_factory.mktemp("pages")
    written: dict[str, str] = {}

    def write(*courses: Course, language: str = "en") -> str:
        content = offline_page(courses or [course], language)
        path = folder / f"{len(written)}.html"
        path.write_text(content, encoding="utf-8")
        written[str(path)] = content
        return Path(path).as_uri()

    return write


@pytest.fixture(scope="session")
def report(pages: Callable[..., str]) -> str:
    return pages()


@pytest.fixture(scope="session")
def large(pages: Callable[..., str]) -> str:
    return pages(large_course())


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker's script; a Python package ships it, so that it is where Playwright is."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        passed_over('no axe-core: pip install -e ".[dev]"')
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def lab() -> Iterator[Laboratory]:
    """One lab for all; each test opens a network of its own in it."""
    with laboratory() as found:
        yield found


@pytest.fixture
def enter(visit: Open, lab: Laboratory) -> Open:
    """``enter(fragment)`` opens the lab and waits for the first measured network."""

    def entered(fragment: str = "", **settings: Any) -> Opened:
        opened = visit(lab.url(fragment), wait=False, **settings)
        opened.page.wait_for_selector("html[data-live] .river", timeout=120_000)
        return opened

    return entered
