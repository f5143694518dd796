"""How fast does the lab answer one student, and what becomes of thirty?

    python -m benchmarks.lab [--students 30] [--seconds 30] [--out docs/benchmarks/lab.json]

Starts ``headwater lab`` as a user does, and opens labs over HTTP as browsers do. First one student with 20 layers of 64
on digits, the only lab there is: updates drawn per second, and how long a change takes until its frame is there; where
Chromium is installed, the same as it stands on the screen of a real page of 1,440 by 900 pixels, drawn in software
(``--page-only`` measures nothing else). Then a class at two updates
per second each, every student changing something every few seconds, once alone and once beside the largest network the
lab allows, which plays as fast as it can. Memory is that of the processes that run networks, with the class less
without. The machine should have nothing else to do: ``machine.load_1_min`` tells.
"""

import argparse
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PACE = 2.0
CHANGES = ({"learning_rate": 0.01}, {"activation": "relu"}, {"init": "he"}, {"depth": 10}, {"depth": 20}, {"width": 32})
MONSTER = {"depth": 100, "width": 70, "batch_size": 512, "activation": "relu", "init": "he"}


class Student:
    """A browser with a lab open."""

    def __init__(self, host: str, cookie: str, **controls: Any) -> None:
        self.host, self.cookie = host, cookie
        self.frames: list[tuple[float, str, int, int]] = []  # when, kind, version, step
        self.answers: list[float] = []
        self.shown: list[float] = []
        self.id = self.ask("POST", "/api/lab/sessions", {"spec": controls})["id"]
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        headers = {"cookie": self.cookie, "content-type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{answer.status}: {text[:200]!r}")
        return json.loads(text) if text else None

    def do(self, command: str, **more: Any) -> None:
        self.ask("POST", f"/api/lab/sessions/{self.id}/commands", {"do": command, **more})

    def change(self, controls: dict[str, Any]) -> None:
        """Change something; notes when that was answered and when the next frame was there."""
        began = time.monotonic()
        seen = len(self.frames)
        self.do("change", controls=controls)
        self.answers.append(time.monotonic() - began)
        with self.changed:
            self.changed.wait_for(lambda: len(self.frames) > seen, timeout=60)
        later = [at for at, *_ in self.frames[seen:]]
        self.shown.append((later[0] if later else time.monotonic()) - began)

    def _listen(self) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=300)
        connection.request("GET", f"/api/lab/sessions/{self.id}/events", headers={"cookie": self.cookie})
        answer = connection.getresponse()
        name = ""
        while line := answer.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: ") and name == "frame":
                data = json.loads(line[6:])
                with self.changed:
                    self.frames.append((time.monotonic(), data["kind"], data["version"], data["step"]))
                    self.changed.notify_all()

    def ready(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.frames, timeout=180)

    def drawn(self, since: float) -> int:
        return sum(at >= since and kind == "step" for at, kind, _, _ in self.frames)


@contextmanager
def served() -> Iterator[tuple[str, str, psutil.Process, str]]:
    """Host, cookie, process and address of a lab."""
    code = "from headwater.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "lab", "--no-open", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        base, _, token = url.partition("/#token=")
        host = base.removeprefix("http://")
        while True:
            try:
                connection = http.client.HTTPConnection(host, timeout=60)
                connection.request("POST", "/api/session", headers={"x-headwater-token": token})
                cookie = str(connection.getresponse().getheader("set-cookie")).split(";")[0]
                break
            except OSError:
                time.sleep(0.05)
        yield host, cookie, psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait(timeout=30)


def memory_mb(process: psutil.Process) -> float:
    """What the processes that run networks hold for themselves."""
    return sum(child.memory_full_info().uss for child in process.children(recursive=True)) / 1e6


def one_student(host: str, cookie: str, seconds: float) -> dict[str, float]:
    """Updates drawn, and changes until they are on screen."""
    student = Student(host, cookie)
    student.ready()
    for controls in CHANGES:
        student.change(controls)
    student.change({"depth": 20, "width": 64, "activation": "relu", "init": "he", "learning_rate": 0.001})
    student.do("play", pace=0)
    time.sleep(1)
    began = time.monotonic()
    first = student.frames[-1][3]
    time.sleep(seconds)
    drawn, steps = student.drawn(began), student.frames[-1][3] - first
    student.ask("DELETE", f"/api/lab/sessions/{student.id}")
    return {
        "updates_drawn_per_s": drawn / seconds,
        "updates_per_s": steps / seconds,
        "change_shown_ms_median": 1000 * statistics.median(student.shown),
        "change_shown_ms_worst": 1000 * max(student.shown),
    }


# Updates are counted where the step is written; a change is shown when the gradient at the first layer is another.
COUNT = """() => {
  window.updates = 0;
  const step = document.querySelector('.readout dd');
  const anything = {childList: true, characterData: true, subtree: true};
  new MutationObserver(() => { window.updates += 1; }).observe(step, anything);
}"""
CHANGE = """async choice => {
  const select = document.querySelector('#control-init');
  const shown = () => document.querySelector('#flow .arrives').dataset.log10;
  const before = shown(), began = performance.now();
  select.value = choice;
  select.dispatchEvent(new Event('change', {bubbles: true}));
  while (shown() === before && performance.now() - began < 9000) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
INITS = ("xavier", "orthogonal", "he", "lecun", "xavier", "he", "orthogonal", "he")


def in_a_page(url: str, seconds: float) -> dict[str, float] | None:
    """The same as a student sees it; ``None`` without a browser."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}&lab=activation.relu~init.he")
        page.wait_for_selector("html[data-live]", timeout=180_000)
        page.wait_for_timeout(5000)  # theory's line and the trials of remedies are there
        page.evaluate(CHANGE, "lecun")
        shown = []
        for choice in INITS:
            shown.append(page.evaluate(CHANGE, choice))
            page.wait_for_timeout(1000)
        page.evaluate(COUNT)
        page.keyboard.press("Space")
        page.wait_for_timeout(1000)
        before = page.evaluate("window.updates")
        began = time.monotonic()
        page.wait_for_timeout(1000 * seconds)
        drawn = (page.evaluate("window.updates") - before) / (time.monotonic() - began)
        browser.close()
    return {
        "updates_drawn_per_s": drawn,
        "change_shown_ms_median": statistics.median(shown),
        "change_shown_ms_worst": max(shown),
    }


def a_class(host: str, cookie: str, process: psutil.Process, students: int, seconds: float, monster: bool) -> Any:
    """Thirty students, each with a pace and changes of their own."""
    empty = memory_mb(process)
    opened = [Student(host, cookie, seed=number) for number in range(students)]
    for student in opened:
        student.ready()
    beast = Student(host, cookie, **MONSTER) if monster else None
    if beast is not None:
        beast.ready()
        beast.do("play", pace=0)
    for student in opened:
        student.do("play", pace=PACE)
    began = time.monotonic()

    def busy(student: Student, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            time.sleep(chance.uniform(2.0, 8.0))
            if time.monotonic() - began > seconds:
                return
            student.change(chance.choice(CHANGES))
            student.do("play", pace=PACE)

    threads = [threading.Thread(target=busy, args=(student, at)) for at, student in enumerate(opened)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    rates = sorted(student.drawn(began) / seconds for student in opened)
    grown = memory_mb(process) - empty
    for thread in threads:
        thread.join(timeout=120)
    answers = sorted(answer for student in opened for answer in student.answers)
    for student in [*opened, *([beast] if beast is not None else [])]:
        student.ask("DELETE", f"/api/lab/sessions/{student.id}")
    return {
        "students": students,
        "pace": PACE,
        "updates_drawn_per_s_slowest": rates[0],
        "updates_drawn_per_s_median": rates[len(rates) // 2],
        "changes": len(answers),
        "change_answered_ms_median": 1000 * answers[len(answers) // 2],
        "change_answered_ms_p95": 1000 * answers[int(0.95 * (len(answers) - 1))],
        "memory_per_student_mb": grown / (students + monster),
    }


def main() -> None:
    """Measure, print, and write where one was asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--page-only", action="store_true", help="only one lab in a real page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": describe()}
    began = time.monotonic()
    with served() as (host, cookie, process, url):
        result["page_answers_s"] = time.monotonic() - began
        result["one_in_a_page"] = in_a_page(url, min(options.seconds, 10.0))
        if options.page_only:
            print(json.dumps(result, indent=1))
            return
        result["one"] = one_student(host, cookie, min(options.seconds, 10.0))
        result["class"] = a_class(host, cookie, process, options.students, options.seconds, monster=False)
        result["class_beside_monster"] = a_class(host, cookie, process, options.students, options.seconds, monster=True)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
