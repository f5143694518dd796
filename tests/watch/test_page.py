"""``hw.watch(ui=True)``: an address at once, a page in a process of its own that ends with this one."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from torch import nn

import headwater as hw

TRAINING = """
import sys, torch, urllib.request
from torch import nn
import headwater as hw
model = nn.Linear(2, 1)
with hw.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), run=sys.argv[1], ui=True) as watch:
    print(watch.url, flush=True)
    urllib.request.urlopen(watch.url.split("#")[0], timeout=60).read()
    assert "starlette" not in sys.modules and "uvicorn" not in sys.modules
    print("answered", flush=True)
"""


def test_page_is_served_beside_the_training_and_ends_with_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(tmp_path / "a")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    url, answered = done.stdout.split()
    assert answered == "answered"
    assert f"Watching a: {url}" in done.stderr
    deadline = time.monotonic() + 30
    while is_served(url):  # the page's process sees the pipe close within moments
        assert time.monotonic() < deadline, "the page's process lives on"
        time.sleep(0.05)


def is_served(url: str) -> bool:
    try:
        urllib.request.urlopen(url.split("#")[0], timeout=5).read()
    except OSError:
        return False
    return True


def test_page_needs_a_record() -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(hw.InputError, match="run=None records nothing"):
        hw.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), run=None, ui=True)


def test_there_is_no_page_unless_one_is_asked_for(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    with hw.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), run=tmp_path / "a") as watch:
        assert watch.url is None
