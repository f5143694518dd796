"""A change written into a file and taken out again: the file's own lines stay, and come back byte by byte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli.in_file import block, undo, write
from headwater.records import InputError
from tests.helpers import ROOT

PATCH = """import torch
from torch import nn


def repair(model):
    return nn.Sequential(model, nn.Tanh())
"""
WITH_OPTIMIZER = (
    PATCH
    + """

def repair_optimizer(model, optimizer):
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * 0.5
    return optimizer
"""
)
OBJECT = """import headwater as hw
import torch

nn = "a name of the user's own"


def repair(what):
    return f"{what} repaired by the user"


experiment = hw.Experiment(
    model=lambda: torch.nn.Linear(2, 2),
    batches=lambda: [torch.zeros(1, 2)],
    loss=lambda model, batch: model(batch).sum(),
    optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
)
"""
FUNCTION = OBJECT.replace("experiment = hw", "def experiment(depth=1):\n    return hw")
GUARD = '\n\n# what runs as a script\nif __name__ == "__main__":\n    print(experiment)\n'
SHOW = """
made = experiment() if callable(experiment) else experiment
model = made.model()
print(type(model).__name__, made.optimizer(model.parameters()).param_groups[0]["lr"], nn, repair("it"))
"""


def run(path: Path, code: str) -> str:
    program = f"import runpy; globals().update(runpy.run_path({str(path)!r}))\n{code}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def put(path: Path, patch: str = PATCH) -> Path:
    return write(path, "experiment", block("experiment", patch, "a title", path.name))


@pytest.mark.parametrize(("source", "patch", "rate"), [(OBJECT, PATCH, 1.0), (FUNCTION, WITH_OPTIMIZER, 0.5)])
def test_name_is_the_repaired_experiment_and_nothing_else_changes(tmp_path: Path, source, patch, rate) -> None:
    path = tmp_path / "train.py"
    path.write_text(source)
    put(path, patch)
    assert run(path, SHOW) == f"Sequential {rate} a name of the user's own it repaired by the user"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(OBJECT.encode(), id="object"),
        pytest.param((FUNCTION + GUARD).encode(), id="guard"),
        pytest.param(OBJECT.replace("\n", "\r\n").encode(), id="windows"),
        pytest.param(OBJECT.rstrip("\n").encode(), id="no last line end"),
        pytest.param(b"\xef\xbb\xbf" + OBJECT.encode(), id="byte order mark"),
        pytest.param(b"# -*- coding: latin-1 -*-\n# \xe9t\xe9\n" + OBJECT.encode(), id="latin-1"),
        pytest.param((GUARD + OBJECT).encode(), id="guard before the name"),
    ],
)
def test_undo_brings_every_byte_back_and_leaves_no_backup(tmp_path: Path, source: bytes) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(source)
    path.chmod(0o640)
    backup = put(path)
    assert backup.read_bytes() == source
    assert path.read_bytes() != source
    assert path.stat().st_mode & 0o777 == 0o640
    compile(path.read_bytes(), str(path), "exec")
    assert undo(path).same
    assert path.read_bytes() == source
    assert [file.name for file in tmp_path.iterdir()] == ["train.py"]


def test_change_stands_before_what_runs_as_a_script(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(OBJECT + GUARD)
    put(path)
    assert path.read_text().endswith(GUARD.lstrip("\n"))


def test_undo_keeps_what_was_changed_since(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(OBJECT)
    backup = put(path)
    path.write_text("# a line of mine\n" + path.read_text() + "\n\nMORE = 1\n")
    undone = undo(path)
    assert not undone.same
    assert undone.backup == backup
    assert path.read_text() == f"# a line of mine\n{OBJECT}\n\nMORE = 1\n"


def test_changes_pile_up_and_come_off_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(FUNCTION)
    put(path)
    put(path, WITH_OPTIMIZER)
    assert run(path, SHOW).startswith("Sequential 0.5")
    assert run(path, "print(type(experiment().model()[0]).__name__)") == "Sequential"  # the one in the other
    assert undo(path).same
    assert run(path, SHOW).startswith("Sequential 1.0")
    assert undo(path).same
    assert path.read_text() == FUNCTION


def test_nothing_to_undo_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(OBJECT)
    with pytest.raises(InputError, match="nothing to undo"):
        undo(path)


def test_change_that_would_be_no_python_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(OBJECT)
    with pytest.raises(InputError, match="left as it is"):
        put(path, "def repair(model)\n    return model\n")
    assert path.read_text() == OBJECT
    assert list(tmp_path.iterdir()) == [path]
