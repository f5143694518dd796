"""Running lessons: in turn and side by side, the same results in the order asked for, and an end when one is wanted."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headwater.lessons import engine, run, run_all
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.records import InputError
from tests.helpers import heed_ctrl_c

QUICK = "sigmoid-derivative"
SLEEPERS = """
import sys, time
import headwater.lessons.engine as engine
from headwater.lessons.lesson import Lesson

def sleep():
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(120)

for name in ("vanishing", "sigmoid-derivative"):
    module = __import__(f"headwater.lessons.{name.replace('-', '_')}", fromlist=["LESSON"])
    module.LESSON = Lesson(name, sleep)

if __name__ == "__main__":
    engine.run_all(("vanishing", "sigmoid-derivative"), processes=2)
"""


def test_lesson_leaves_random_states_and_threads_as_they_were() -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    run(QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("call", [run, lambda name: run_all([name])])
def test_unknown_lesson_is_refused_with_the_nearest(call: object) -> None:
    with pytest.raises(InputError, match=r"no lesson 'vanising'\. Did you mean vanishing"):
        call("vanising")


def test_lesson_holds_if_all_its_checks_do(monkeypatch: pytest.MonkeyPatch) -> None:
    t = Texts("vanishing")
    checks = (t.true("true_norm", True), t.within("slope_xavier", float("nan"), 0.0))
    lesson = Lesson("vanishing", lambda: Outcome(checks, {}))
    monkeypatch.setattr(engine, "find", lambda _: lesson)
    assert [check.holds for check in run("vanishing").checks] == [True, False]
    assert not run("vanishing").holds


def test_side_by_side_is_as_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    ids = ("vanishing", QUICK, "vanishing")
    side_by_side = run_all(ids, processes=2, progress=lambda *step: told.append(step))
    assert [result.id for result in side_by_side] == ["vanishing", QUICK]
    assert told == [("progress.lessons", done, 2) for done in range(3)]
    assert replace(side_by_side[1], wall_time_s=0.0) == replace(run(QUICK), wall_time_s=0.0)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_ends_the_workers_at_once(tmp_path: Path) -> None:
    with sleepers(tmp_path) as (process, workers):
        started = time.perf_counter()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read()
        process.wait(timeout=30)
        assert time.perf_counter() - started < 10
    assert told.count("KeyboardInterrupt") == 1, "the workers leave the interrupt to their parent"
    assert not still_running(workers)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_when_their_parent_is_gone(tmp_path: Path, number: signal.Signals) -> None:
    with sleepers(tmp_path) as (process, workers):
        process.send_signal(number)
        assert process.wait(timeout=10) == -number
    assert not still_running(workers)


@contextmanager
def sleepers(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that runs two lessons side by side, both asleep for long, and its children."""
    (folder / "sleepers.py").write_text(SLEEPERS)
    command = [sys.executable, "sleepers.py"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c) as process:
        assert process.stderr is not None
        for _ in range(2):
            assert process.stderr.readline() == "asleep\n"
        workers = children(process.pid)
        assert len(workers) >= 2
        yield process, workers


def children(pid: int) -> list[int]:
    """Processes started by ``pid``."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]


def still_running(pids: list[int], patience_s: float = 10.0) -> list[int]:
    """Those that have not ended after a while: a process that its parent leaves behind takes a moment to notice."""
    until = time.perf_counter() + patience_s
    while (running := [pid for pid in pids if is_running(pid)]) and time.perf_counter() < until:
        time.sleep(0.05)
    return running


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
