"""The exported script is run in a process of its own, and prints the numbers that were on the screen."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.lab.csv_data import read
from headwater.lab.export import script
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from tests.lab.files import IRIS_LIKE, NUMBERS

STEPS = 25
SLOW = pytest.mark.slow  # each is a process that loads torch


def printed(slot: Slot, folder: Path, csv: str = "") -> tuple[list[float], dict[str, float]]:
    """Losses and final figures that the script prints; it is kept from finding headwater."""
    (folder / "lab.py").write_text(script(slot), encoding="utf-8")
    if csv:
        (folder / "data.csv").write_text(csv, encoding="utf-8")
    code = "import sys, runpy; sys.modules['headwater'] = None; runpy.run_path('lab.py')"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    losses, figures = [], {}
    for line in done.stdout.splitlines():
        *name, value = line.split()
        if len(name) == 1:
            losses.append(float(value))
        else:
            figures[" ".join(name)] = float(value)
    return losses, figures


def assert_same(slot: Slot, folder: Path, csv: str = "") -> None:
    losses, figures = printed(slot, folder, csv)
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
        pytest.param({"data": "folds", "depth": 3, "activation": "relu", "init": "he", "output": "relu"}, marks=SLOW),
        pytest.param({"depth": 30, "activation": "relu", "init": "tailored", "output": "sigmoid"}, marks=SLOW),
        pytest.param({"preset": "cnn", "depth": 4, "width": 6, "init": "tailored", "output": "tanh"}, marks=SLOW),
        pytest.param(
            {"preset": "rnn", "depth": 3, "width": 6, "activation": "tanh", "init": "default", "output": "tanh"},
            marks=SLOW,
        ),
        pytest.param({"depth": 5, "init": "lsuv", "activations": {2: "relu", 3: "prelu"}, "seed": 7}, marks=SLOW),
        pytest.param({"depth": 5, "init": "lecun", "optimizer": "adamw"}, marks=SLOW),
        pytest.param({"depth": 6, "remedies": ["structure.rezero"], "optimizer": "rmsprop"}, marks=SLOW),
        pytest.param({"data": "curve", "depth": 3, "activation": "tanh"}, marks=SLOW),
        pytest.param({"data": "spirals", "depth": 4, "activation": "relu"}, marks=SLOW),
        pytest.param({"data": "moons", "depth": 3, "batch_size": 17}, marks=SLOW),
        pytest.param({"data": "circles", "depth": 3}, marks=SLOW),
        pytest.param({"data": "breast_cancer", "depth": 3}, marks=SLOW),
    ],
)
def test_script_gives_the_numbers_on_the_screen(controls: dict[str, Any], tmp_path: Path) -> None:
    slot = Slot(Spec.from_dict(controls))
    for step in range(STEPS):
        slot.advance(step % 2 == 0)
    assert slot.step == STEPS
    assert_same(slot, tmp_path)


def test_script_makes_the_changes_that_were_made_on_the_way(tmp_path: Path) -> None:
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
    assert_same(slot, tmp_path)


@pytest.mark.parametrize("text", [IRIS_LIKE, NUMBERS])
def test_script_reads_the_users_own_file(text: str, tmp_path: Path) -> None:
    uploaded = read(text)
    slot = Slot(Spec.from_dict({"data": "csv", "csv": uploaded.id, "depth": 3, "width": 8}), uploaded)
    for _ in range(5):
        slot.advance(True)
    assert slot.change(slot.spec.changed({"activation": "tanh"}))
    for _ in range(5):
        slot.advance(False)
    assert_same(slot, tmp_path, text)
