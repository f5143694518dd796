"""What a page is sent: all of it, then what comes; the pieces together are the whole."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import headwater as hw
import headwater.diagnosis  # or the first view comes without a verdict
from headwater.recorded.viewing import course_of
from headwater.records import InputError
from headwater.report.view import view_of
from headwater.report.view.packing import unpacked
from headwater.server import following as following_module
from headwater.server.following import Following
from headwater.server.shelf import Shelf
from headwater.store import Writer
from tests.growing import SITE_COUNT, grow


def growing(run: Path, steps: int) -> "subprocess.Popen[bytes]":
    """A run that another process writes."""
    return subprocess.Popen([sys.executable, "-m", "tests.growing", str(run), str(steps), "0.02"])


def levels(view: dict) -> np.ndarray:
    (statistic,) = [one for one in view["statistics"] if one["name"] == "activation_grad_rms"]
    return unpacked(statistic["low"], len(view["sites"]))


def test_pieces_that_come_are_the_whole_in_the_end(tmp_path: Path) -> None:
    run = tmp_path / "a"
    child = growing(run, 60)
    try:
        while not (run / "run.json").exists():
            time.sleep(0.05)
        following = Following(run)
        steps: list[int] = []
        parts: list[np.ndarray] = []
        names: set[str] = set()
        losses: dict[int, float] = {}
        deadline = time.monotonic() + 120
        state = ""
        while state != "finished" and time.monotonic() < deadline:
            found = following.next()
            if found is None:
                time.sleep(0.05)
                continue
            name, view = found
            names.add(name)
            json.dumps(view, allow_nan=False)
            state = view["state"]
            if name == "view":
                steps, parts, losses = [], [], {}
            if view["first"]:
                steps += view["first"]
                parts.append(levels(view))
            for line in view["lines"]:
                if line["name"] == "loss":
                    losses |= dict(zip(line["steps"], unpacked(line["values"])[0].tolist(), strict=True))
    finally:
        child.wait(timeout=60)
    assert state == "finished"
    assert names == {"view", "more"}
    whole = view_of(course_of(hw.open_run(run))).to_dict()
    assert steps == whole["first"] == list(range(60))
    assert_array_equal(np.concatenate(parts, axis=1), levels(whole))
    assert len(whole["sites"]) == SITE_COUNT
    assert losses == pytest.approx({step: 1 / (1 + step) for step in range(60)})


def test_nothing_new_is_nothing_sent(tmp_path: Path) -> None:
    grow(tmp_path / "a", 3)
    following = Following(tmp_path / "a")
    name, view = following.next() or ("", {})
    assert name == "view"
    assert view["first"] == [0, 1, 2]
    assert following.next() is None


def test_run_without_a_step_is_shown_as_empty(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a")
    try:
        _, view = Following(tmp_path / "a").next() or ("", {})
    finally:
        writer.close()
    assert view["first"] == view["sites"] == []
    assert view["state"] == "running"
    assert view["verdict"] is None


def test_run_whose_writer_died_is_shown_to_its_last_step(tmp_path: Path) -> None:
    run = tmp_path / "a"
    child = growing(run, 100_000)
    while not (run / "run.json").exists() or len(hw.open_run(run)) < 5:
        time.sleep(0.1)
    child.kill()
    child.wait(timeout=60)
    _, view = Following(run).next() or ("", {})
    assert len(view["first"]) >= 5
    assert view["state"] == "silent"


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, make: object) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(InputError, match="no run, and no folder with runs"):
        Shelf(tmp_path / "x")


FIRST_VIEWS = """
import sys
from pathlib import Path
from headwater.server.following import Following
following = Following(Path(sys.argv[1]))
for _ in range(3):
    name, view = following.next() or ("", {})
    print(name, view.get("verdict"), len(view.get("first", [])), "scipy" in sys.modules)
"""


def test_numbers_are_shown_before_the_rules_are_loaded_and_the_verdict_follows(tmp_path: Path) -> None:
    """Loading them takes half a second, which a page would be blank for."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, run=tmp_path / "a", every=1, quiet=True):
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.zeros(8, dtype=torch.long)).backward()
            optimizer.step()
    command = [sys.executable, "-c", FIRST_VIEWS, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "view None 3 False"
    assert second.split()[0] == "view"
    assert second.split()[1] in ("healthy", "findings", "cannot_tell")
    assert second.split()[2:] == ["3", "True"]
    assert third == " None 0 True", "and then nothing has come"


def test_run_that_is_deleted_is_told_without_its_place_and_shown_again_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_module, "EVERY_S", 0.02)
    run = tmp_path / "a"
    grow(run, 5)

    async def heard() -> list[str]:
        said = []
        async for event in following_module.events(run):
            said.append(event)
            if len(said) == 1:
                shutil.rmtree(run)
            if len(said) == 2:
                grow(run, 7)
            if event.startswith("event: view") and len(said) > 1:
                return said
        return said

    with ThreadPoolExecutor(1) as beside:  # a browser of other tests leaves a loop behind in this thread
        first, trouble, *_, last = beside.submit(lambda: asyncio.run(asyncio.wait_for(heard(), 60))).result()
    assert first.startswith("event: view")
    assert trouble.startswith("event: trouble")
    assert "No such file or directory" in trouble
    assert str(tmp_path) not in trouble
    assert json.loads(last.split("data: ")[1])["first"] == list(range(7))
