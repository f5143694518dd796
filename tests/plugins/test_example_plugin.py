"""The example plugin, built and installed as a user would, seen through the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import EXAMPLES, ROOT, headwater

PROGRAM = """
import torch
from torch import nn
import headwater as hw

def model():
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    nn.init.constant_(net[2].bias, 50.0)
    return net

def batches():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, generator=generator)
    return [(x, (x[:, 0] > 0).long())] * 8

def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

experiment = hw.Experiment(
    model=model, batches=batches, loss=loss, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2), validation=batches
)
"""

Installed = Callable[..., subprocess.CompletedProcess[str]]


def with_folder(folder: Path) -> dict[str, str]:
    """An environment in which what lies in a folder is installed."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(folder)]))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    source = EXAMPLES / "plugin"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Installed:
    (tmp_path / "train.py").write_text(PROGRAM)
    return lambda *arguments: headwater(*arguments, cwd=tmp_path, **with_folder(folder))


def test_check_finds_what_the_plugin_looks_for_and_says_it_in_both_languages(run: Installed) -> None:
    for language, words in (("en", "biases drown the inputs"), ("ko", "입력을 덮는 편향")):
        done = run("check", "train.py:experiment", "--seed", "0", "--lang", language)
        assert done.returncode == 1, done.stderr
        assert words in done.stdout
        assert "finding." not in done.stdout
        assert "PluginWarning" not in done.stderr
    report = json.loads(run("check", "train.py:experiment", "--seed", "0", "--json").stdout)
    (finding,) = [f for f in report["diagnosis"]["findings"] if f["symptom"] == "bias_dominates"]
    assert finding["sites"] == ["2"]
    assert "as large as what its inputs give" in finding["message"]["text"]
    assert finding["prescriptions"][0]["remedies"] == ["init.zero_bias"]
    assert "bias.zero_()" in finding["prescriptions"][0]["code"]
    assert "bias_dominates" in report["diagnosis"]["checked"]


def test_without_the_plugin_nobody_looks_for_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    done = headwater("check", "train.py:experiment", "--seed", "0", "--json", cwd=tmp_path)
    assert "bias_dominates" not in json.loads(done.stdout)["diagnosis"]["checked"]


def test_remedy_is_listed_explained_and_proven(run: Installed) -> None:
    assert "init.zero_bias" in run("remedies").stdout
    explained = run("remedies", "init.zero_bias").stdout
    assert "Sets the bias of every linear layer" in explained
    arguments = ("--seeds", "3", "--steps", "20", "--json")
    done = run("prove", "train.py:experiment", "init.zero_bias", *arguments)
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)["remedies"] == ["init.zero_bias"]


def test_lesson_is_listed_and_holds(run: Installed) -> None:
    assert "A large bias hides the inputs" in run("lessons", "--list").stdout
    done = run("lessons", "bias-hides-inputs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A bias of 50 before a tanh" in done.stdout


def test_its_own_tests_pass(folder: Path, tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, EXAMPLES / "plugin" / "tests"],
        env={**os.environ, **with_folder(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_building_it_leaves_nothing_behind(folder: Path) -> None:
    known = {"pyproject.toml", "README.md", "src", "tests"}
    assert {path.name for path in (ROOT / "examples" / "plugin").iterdir()} - {"__pycache__"} == known
