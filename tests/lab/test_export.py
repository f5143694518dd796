"""The exported script, run where headwater is not known, prints the numbers that were on the screen."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.lab.csv_data import read
from headwater.lab.export import script
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from tests.lab.files import IRIS_LIKE, NUMBERS

STEPS = 25


RUNNER = """
import os, runpy, sys
sys.modules['headwater'] = None
for folder in sys.stdin:
    os.chdir(folder.strip())
    runpy.run_path('lab.py')
    print('end', flush=True)
"""


class Runner:
    """A process that runs one script after the other: torch is loaded once. headwater cannot be imported in it."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUNNER], text=True, **pipes)

    def lines(self, folder: Path) -> Iterator[str]:
        """What the folder's ``lab.py`` prints."""
        print(folder, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line == "end\n":
                return
            yield line
        raise AssertionError(self.process.stderr.read())


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.process.communicate(timeout=60)


def printed(slot: Slot, folder: Path, runner: Runner, csv: str = "") -> tuple[list[float], dict[str, float]]:
    """Losses and final figures that the script prints."""
    (folder / "lab.py").write_text(script(slot), encoding="utf-8")
    if csv:
        (folder / "data.csv").write_text(csv, encoding="utf-8")
    losses, figures = [], {}
    for line in runner.lines(folder):
        *name, value = line.split()
        if len(name) == 1:
            losses.append(float(value))
        else:
            figures[" ".join(name)] = float(value)
    return losses, figures


def assert_same(slot: Slot, folder: Path, runner: Runner, csv: str = "") -> None:
    losses, figures = printed(slot, folder, runner, csv)
    assert losses == pytest.approx([loss for _, loss in slot.course], rel=1e-6)
    slot._score()
    assert figures["test loss"] == pytest.approx(slot.scores[-1].validation_loss, rel=1e-5)
    if slot.scores[-1].validation_metric is not None:
        assert figures["test accuracy"] == slot.scores[-1].validation_metric


@pytest.mark.parametrize(
    "controls",
    [
        {},
        {"depth": 6, "activation": "relu", "init": "he", "dropout": 0.3, "l1": 1e-4, "l2": 1e-3, "samples": 300},
        {"depth": 6, "residual": True, "normalisation": "layer", "activation": "gelu_tanh", "scale": 0.5, "bias": 0.1},
        {"depth": 4, "normalisation": "batch", "init": "normal", "scale": 0.01, "optimizer": "momentum"},
        {"preset": "cnn", "depth": 4, "width": 6, "activation": "relu", "init": "delta_orthogonal"},
        {"preset": "rnn", "depth": 3, "width": 12, "activation": "tanh", "init": "orthogonal"},
        {"depth": 6, "remedies": ["activation.tailored", "init.orthogonal", "optimisation.clip_norm"]},
        {"data": "surface", "depth": 4, "activation": "relu", "init": "by_activation", "output": "tanh"},
        {"depth": 6, "activation": "sigmoid", "init": "tailored", "learning_rate": 1e-4},
        {"data": "folds", "depth": 3, "activation": "relu", "init": "he", "output": "relu"},
        {"depth": 30, "activation": "relu", "init": "tailored", "output": "sigmoid"},
        {"preset": "cnn", "depth": 4, "width": 6, "init": "tailored", "output": "tanh"},
        {"preset": "rnn", "depth": 3, "width": 6, "activation": "tanh", "init": "default", "output": "tanh"},
        {"depth": 5, "init": "lsuv", "activations": {2: "relu", 3: "prelu"}, "seed": 7},
        {"depth": 5, "init": "lecun", "optimizer": "adamw"},
        {"depth": 6, "remedies": ["structure.rezero"], "optimizer": "rmsprop"},
        {"data": "curve", "depth": 3, "activation": "tanh"},
        {"data": "spirals", "depth": 4, "activation": "relu"},
        {"data": "moons", "depth": 3, "batch_size": 17},
        {"data": "circles", "depth": 3},
        {"data": "breast_cancer", "depth": 3},
    ],
)
def test_script_gives_the_numbers_on_the_screen(controls: dict[str, Any], tmp_path: Path, runner: Runner) -> None:
    slot = Slot(Spec.from_dict(controls))
    for step in range(STEPS):
        slot.advance(step % 2 == 0)
    assert slot.step == STEPS
    assert_same(slot, tmp_path, runner)


def test_script_makes_the_changes_that_were_made_on_the_way(tmp_path: Path, runner: Runner) -> None:
    slot = Slot(Spec.from_dict({"depth": 5, "width": 16, "activation": "relu", "init": "he", "dropout": 0.2}))
    changes: list[dict[str, Any]] = [
        {"learning_rate": 0.01},
        {"l1": 0.001},
        {"activation": "tanh", "l2": 0.01},
        {"dropout": 0.5, "batch_size": 32},
        {"activations": {1: "elu"}},
        {"optimizer": "momentum", "l1": 0.0},
    ]
    for controls in changes:
        for _ in range(4):
            slot.advance(True)
        assert slot.change(slot.spec.changed(controls))
    slot.advance(True)
    assert_same(slot, tmp_path, runner)


@pytest.mark.parametrize("text", [IRIS_LIKE, NUMBERS])
def test_script_reads_the_users_own_file(text: str, tmp_path: Path, runner: Runner) -> None:
    uploaded = read(text)
    slot = Slot(Spec.from_dict({"data": "csv", "csv": uploaded.id, "depth": 3, "width": 8}), uploaded)
    for _ in range(5):
        slot.advance(True)
    assert slot.change(slot.spec.changed({"activation": "tanh"}))
    for _ in range(5):
        slot.advance(False)
    assert_same(slot, tmp_path, runner, text)
