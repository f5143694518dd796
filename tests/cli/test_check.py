"""``headwater check`` as a user types it: exit statuses, outputs, and what each bad input is told."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.report import Report
from tests.helpers import files_under, headwater, schema_violations

LONG = "x" * 300
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

# Every experiment a test names, in one file as a user would write it.
TRAIN = """
import torch
from torch import nn
import headwater as hw

print("hello from train.py")

def batches(features=8):
    torch.manual_seed(0)
    return [(x, x[:, :4].argmax(dim=1)) for x in torch.randn(2, 32, features)]

def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

def net(depth, activation):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(8, 8), activation())]
    return nn.Sequential(*layers, nn.Linear(8, 4))

def frozen():
    return net(1, nn.ReLU).requires_grad_(False)

def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)

healthy = hw.Experiment(lambda: net(2, nn.ReLU), batches, loss, adam)
sick = hw.Experiment(lambda: net(30, nn.Sigmoid), batches, loss)

vector_loss = hw.Experiment(lambda: net(1, nn.ReLU), batches, lambda model, batch: model(batch[0]))
float_loss = hw.Experiment(lambda: net(1, nn.ReLU), batches, lambda model, batch: loss(model, batch).item())
detached_loss = hw.Experiment(lambda: net(1, nn.ReLU), batches, lambda model, batch: loss(model, batch).detach())
wrong_batch = hw.Experiment(lambda: net(1, nn.ReLU), lambda: batches(features=9), loss)
no_parameters = hw.Experiment(nn.ReLU, batches, loss)
no_trainable = hw.Experiment(frozen, batches, loss)
no_batches = hw.Experiment(lambda: net(1, nn.ReLU), lambda: iter(()), loss)
no_model = hw.Experiment(lambda: "net", batches, loss)

def something_else():
    return net(1, nn.ReLU)

class Sized(nn.Module):
    def __init__(self, width):
        super().__init__()

sized_model = hw.Experiment(Sized, batches, loss)
batches_need_arguments = hw.Experiment(lambda: net(1, nn.ReLU), lambda path: [path], loss)
optimizer_takes_none = hw.Experiment(lambda: net(1, nn.ReLU), batches, loss, lambda: None)
"""

# Every way past `sys.stdout` to the stdout of the process: while the file is loaded, in the run, and at its end.
NOISY = """
import atexit, ctypes, os, subprocess, sys

os.write(1, b"NOISE of os.write\\n")
os.system("echo NOISE of the shell")
subprocess.run(["echo", "NOISE of a child"])
sys.__stdout__.write("NOISE of the first stream\\n")
ctypes.CDLL(None).puts(b"NOISE of C")
atexit.register(print, "NOISE at the end")
quiet_batches = batches

def batches():
    os.write(1, b"NOISE of batches\\n")
    return quiet_batches()

noisy = hw.Experiment(lambda: net(2, nn.ReLU), batches, loss)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON that a run printed: all of stdout, strict, and as the schema has it."""
    data: dict[str, Any] = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert schema_violations(data) == []
    return data


def test_healthy_network_exits_0(folder: Path) -> None:
    done = headwater("check", "train.py:healthy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"Running {folder / 'train.py'}\n" in done.stderr
    assert "hello from train.py" in done.stderr
    assert "hello from train.py" not in done.stdout
    assert "healthy" in done.stdout.lower()
    assert files_under(folder) == {"train.py"}


def test_network_that_cannot_learn_exits_1_and_says_why(folder: Path) -> None:
    done = headwater("check", "train.py:sick", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "vanishing" in done.stdout
    assert len(done.stdout.splitlines()) <= 25
    assert files_under(folder) == {"train.py"}


@pytest.mark.parametrize(("name", "verdict", "status"), [("healthy", "healthy", 0), ("sick", "findings", 1)])
def test_json_is_the_report_and_nothing_else(folder: Path, name: str, verdict: str, status: int) -> None:
    done = headwater("check", f"train.py:{name}", "--json", "--seed", "0", cwd=folder)
    assert done.returncode == status, done.stderr
    data = report_of(done)
    assert data["schema"] == "headwater/report/1"
    assert data["diagnosis"]["verdict"] == verdict
    assert Report.from_dict(data).verdict == verdict


def test_nothing_users_code_prints_reaches_stdout(folder: Path) -> None:
    (folder / "noisy.py").write_text(TRAIN + NOISY)
    done = headwater("check", "noisy.py:noisy", "--json", cwd=folder)
    report_of(done)
    assert "NOISE" not in done.stdout
    for source in ("os.write", "the shell", "a child", "the first stream", "C", "batches"):
        assert f"NOISE of {source}\n" in done.stderr
    assert "NOISE at the end\n" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["check", "train.py:healthy"], ["check", "train.py:healthy", "--json"]])
def test_full_stdout_is_told_in_one_line(folder: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "headwater", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("hello from train.py\nError: cannot write to stdout: No space left on device.\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_stdout_or_stderr_does_not_change_the_verdict(folder: Path, closed: int) -> None:
    command = f"exec '{sys.executable}' -m headwater check train.py:healthy {closed}>&-"
    assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True).returncode == 0


def test_seed_makes_two_runs_equal(folder: Path) -> None:
    first, second = (headwater("check", "train.py:healthy", "--json", "--seed", "3", cwd=folder) for _ in range(2))
    assert report_of(first)["flow"] == report_of(second)["flow"]
    assert report_of(first)["run"]["seed"] == 3


def test_steps_are_trained_before_measuring(folder: Path) -> None:
    before, after = (
        report_of(headwater("check", "train.py:healthy", "--json", "--seed", "0", "--steps", steps, cwd=folder))["flow"]
        for steps in ("0", "20")
    )
    assert (before["step"], after["step"]) == (0, 20)
    assert after["loss"] < before["loss"]


def test_html_is_written_where_it_was_asked_for(folder: Path) -> None:
    done = headwater("check", "train.py:sick", "--html", "report.html", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "Report written to report.html" in done.stderr
    assert files_under(folder) == {"train.py", "report.html"}
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_korean_is_spoken_where_it_was_asked_for(folder: Path) -> None:
    by_option = headwater("check", "train.py:sick", "--lang", "ko", cwd=folder)
    by_environment = headwater("check", "train.py:sick", cwd=folder, HEADWATER_LANG="ko")
    for done in (by_option, by_environment):
        assert done.returncode == 1, done.stderr
        assert "기울기 소실" in done.stdout
        assert "파일을 실행합니다" in done.stderr


@pytest.mark.parametrize(
    ("target", "culprits"),
    [
        ("nosuch.py:healthy", ["there is no file nosuch.py", "headwater check train.py:healthy"]),
        ("train.py:heathly", ["there is no 'heathly' in train.py", "headwater check train.py:healthy"]),
        ("train.py", ["which name in train.py?", "headwater check train.py:healthy"]),
        ("train.py:something_else", ["returned a model (Sequential)", "experiment = Experiment("]),
        ("train.py:vector_loss", ["scalar", "[32, 4]"]),
        ("train.py:float_loss", ["float"]),
        ("train.py:detached_loss", ["graph"]),
        ("train.py:wrong_batch", ["[32, 9]", "mat1 and mat2 shapes cannot be multiplied"]),
        ("train.py:no_parameters", ["no parameters", "ReLU"]),
        ("train.py:no_trainable", ["requires_grad"]),
        ("train.py:no_batches", ["no batch"]),
        ("train.py:no_model", ["str", "nn.Module"]),
        ("train.py:sized_model", ["'width'", "model=lambda: Sized(...)"]),
        ("train.py:batches_need_arguments", ["'path'", "called as batches()"]),
        ("train.py:optimizer_takes_none", ["called as optimizer(parameters)"]),
        (".", [". is a folder"]),
        ("..:healthy", [".. is a folder"]),
        (f"{LONG}.py:healthy", [f"there is no file {LONG}.py"]),
        (f"{LONG}:healthy", [f"finds no module {LONG}"]),
        (f"./{LONG}/train.py:healthy", [f"there is no file ./{LONG}/train.py"]),
    ],
)
def test_bad_input_exits_2_names_the_culprit_and_writes_nothing(folder: Path, target: str, culprits: list[str]) -> None:
    done = headwater("check", target, "--json", "--html", "report.html", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    for culprit in culprits:
        assert culprit in done.stderr
    assert files_under(folder) == {"train.py"}


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ("report.pdf", "--html report.html"),
        ("nosuch/report.html", "there is no folder nosuch"),
        (".", "is a directory"),
        ("", "name a file: --html report.html"),
        (f"{LONG}.html", "File name too long"),
        pytest.param("/proc/x.html", "no file can be made in the folder /proc", marks=LINUX),
    ],
)
def test_html_that_cannot_be_written_is_refused_before_anything_runs(folder: Path, html: str, message: str) -> None:
    done = headwater("check", "train.py:healthy", "--html", html, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "hello from train.py" not in done.stderr


def test_page_that_cannot_be_written_after_the_run_exits_2(folder: Path) -> None:
    (folder / "train.py").write_text(TRAIN + "import os; os.mkdir('report.html')")
    done = headwater("check", "train.py:healthy", "--html", "report.html", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.endswith("Error: cannot write report.html: Is a directory.\n")
    assert files_under(folder) == {"train.py"}


def test_causes_are_tested_on_request(folder: Path) -> None:
    (folder / "train.py").write_text(TRAIN + STUCK)
    done = headwater(
        "check", "train.py:stuck", "--intervene", "--branch-steps", "12", "--seed", "0", "--json", cwd=folder
    )
    finding = report_of(done)["diagnosis"]["findings"][0]
    assert done.returncode == 1
    assert finding["causes"][0]["id"] == "frozen"
    best = finding["interventions"][0]
    assert (best["change"], best["outcome"], best["steps"], best["repeats"]) == ("unfrozen", "restores", 12, 3)
    assert best["loss"]["after"] < best["loss"]["before"]


STUCK = """
def half_frozen():
    model = net(4, nn.ReLU)
    for layer in (model[0], model[2], model[4]):
        layer.requires_grad_(False)
    return model

stuck = hw.Experiment(half_frozen, batches, loss, adam)
"""


INTERRUPTED = """
calls = 0

def interrupted_loss(model, batch):
    global calls
    calls += 1
    if calls > 20:
        raise KeyboardInterrupt
    return loss(model, batch)

interrupted = hw.Experiment(half_frozen, batches, interrupted_loss, adam)
"""


def test_interrupted_test_of_causes_shows_what_was_found_and_exits_130(folder: Path) -> None:
    (folder / "train.py").write_text(TRAIN + STUCK + INTERRUPTED)
    done = headwater("check", "train.py:interrupted", "--intervene", "--json", "--html", "r.html", cwd=folder)
    assert done.returncode == 130
    assert "Interrupted" in done.stderr
    finding = report_of(done)["diagnosis"]["findings"][0]
    assert finding["symptom"] == "not_updating"
    assert {answer["why"]["id"] for answer in finding["interventions"] if answer["why"]} >= {"untried.interrupted"}
    assert (folder / "r.html").exists()


@pytest.mark.parametrize("option", [("--repeats", "2"), ("--seconds", "5"), ("--branch-steps", "20")])
def test_settings_of_interventions_need_interventions(folder: Path, option: tuple[str, str]) -> None:
    done = headwater("check", "train.py:healthy", *option, cwd=folder)
    assert done.returncode == 2
    assert f"{option[0]} is about interventions: add --intervene." in done.stderr


def test_progress_is_shown_where_a_person_watches(folder: Path) -> None:
    watched, screen = pty.openpty()
    command = [sys.executable, "-m", "headwater", "check", "train.py:healthy", "--json", "--steps", "20"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=screen, text=True)
    os.close(screen)
    assert done.returncode == 0
    report_of(done)
    assert "20/20" in _everything_on(watched)


def _everything_on(terminal: int) -> str:
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:  # how a pseudo-terminal says that its other side is closed
        pass
    finally:
        os.close(terminal)
    return shown.decode(errors="replace")
