"""How long a run's page takes: to write, to redraw, and from the first measured step to the screen.

    python -m benchmarks.page [--quick] [--out FOLDER]

A training of 61 sites is recorded on every one of 2,000 steps. The file is written by ``headwater report`` in a process
of its own, start included; the flow map is redrawn in Chromium, software rendering, 1,440 pixels wide; the live page is
``hw.watch(ui=True)``, its clock running from the end of the first step to the first picture on the screen;
``address_s`` is from the beginning of the ``with`` to the address.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import headwater as hw
from benchmarks import machine
from benchmarks.options import parser, save, say

STEPS, STEPS_QUICK = 2000, 100
REDRAWS = 40
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAINTED = "canvas[data-drawn-ms]"


def main(arguments: list[str] | None = None) -> None:
    """Record a run, write its page, open it, and watch another one live."""
    given = parser(__doc__).parse_args(arguments)
    result: dict[str, Any] = {"machine": machine.describe(given.threads), "quick": given.quick}
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder, "run"), Path(folder, "page.html")
        record(run, STEPS_QUICK if given.quick else STEPS)
        result["report_s"] = statistics.median(seconds_of_report(run, page) for _ in range(3))
        result["report_bytes"] = page.stat().st_size
        chromium = shutil.which("chromium")
        result["address_s"] = statistics.median(seconds_to_address(Path(folder, f"ui{n}")) for n in range(3))
        if chromium is not None:
            result |= in_browser(chromium, page, Path(folder, "live"))
    say(str({name: value for name, value in result.items() if name != "machine"}))
    save(given.out, "page", result)


def record(run: Path, steps: int, ui: bool = False) -> Any:
    """Train a deep tanh network, every step recorded."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(32, 32), nn.Tanh()) for _ in range(30)], nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with hw.watch(model, optimizer, run=run, every=1, quiet=True, ui=ui) as watch:
        for _ in range(steps):
            x = torch.randn(64, 32)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
    return watch


def seconds_of_report(run: Path, page: Path) -> float:
    """Wall time of the command, start of Python included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "headwater", "report", str(run), "-o", str(page)], check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def seconds_to_address(run: Path) -> float:
    """From the beginning of a watch to the address of its page."""
    model = nn.Linear(4, 4)
    watch = hw.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), run=run, quiet=True, ui=True)
    began = time.perf_counter()
    with watch:
        assert watch.url is not None
        return time.perf_counter() - began


def in_browser(chromium: str, page: Path, live: Path) -> dict[str, float]:
    """Redraws of the offline page, and how soon the live one shows its first step."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        window = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        window.goto(page.as_uri())
        window.wait_for_selector(PAINTED)
        opened_s = time.perf_counter() - began
        times = []
        for turn in range(REDRAWS):
            window.keyboard.press("12"[turn % 2])
            times.append(float(window.get_attribute(PAINTED, "data-drawn-ms") or 0))
        watch = record(live, 1, ui=True)
        began = time.perf_counter()
        window.goto(watch.url)
        window.wait_for_selector(PAINTED)
        first_s = time.perf_counter() - began
        browser.close()
    return {
        "opened_s": opened_s,
        "redraw_ms": statistics.median(times),
        "redraw_worst_ms": max(times),
        "live_first_s": first_s,
    }


if __name__ == "__main__":
    main()
