"""The three users' programs: they train when they are run, and headwater reads them as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import EXAMPLES, headwater, schema_violations

SITES = {
    "mlp": {"0": "Linear", "1": "ReLU", "4": "Linear"},
    "cnn": {"conv1": "Conv2d", "norm1": "BatchNorm2d", "relu#1": "relu", "relu#3": "relu", "classifier": "Linear"},
    "gpt2": {"transformer.wte": "Embedding", "transformer.h.3.mlp.c_proj": "Conv1D", "lm_head": "Linear"},
}


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SITES, "thousand_layers"}


@pytest.mark.parametrize("example", SITES)
def test_example_is_measured_and_found_healthy(tmp_path: Path, example: str) -> None:
    done = headwater("check", f"{EXAMPLES / example}.py:experiment", "--json", "--seed", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert schema_violations(report) == []
    assert report["diagnosis"]["verdict"] == "healthy"
    ops = {row["site"]: row["op"] for row in report["table"]}
    assert SITES[example].items() <= ops.items()


@pytest.mark.parametrize("example", SITES)
def test_example_trains_when_it_is_run(example: str) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / f"{example}.py"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    values = [float(line.split(" nats")[0].split()[-1]) for line in done.stdout.splitlines()]
    improved = values[-1] < values[0] if example == "gpt2" else values[-1] > max(0.9, values[0])
    assert improved, done.stdout


def test_abyss_shows_gradients_that_are_fine_and_inputs_that_are_one() -> None:
    """At 200 layers: the well-known initialisations mend the gradient and learn nothing; two others and four layers do.

    The names and order of the columns are the example's.
    """
    env = {**os.environ, "LAYERS": "200"}
    script = EXAMPLES / "thousand_layers.py"
    done = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    rows = {line[:28].strip(): line[28:].split() for line in done.stdout.splitlines() if ", " in line[:28]}
    for name in ("ReLU, init.he", "ReLU, init.orthogonal", "ReLU, init.lsuv"):
        first, last, cosine, rank, accuracy, _ = map(float, rows[name])
        assert 1e-2 < first / last < 1e2
        assert cosine > 0.99
        assert rank < 2
        assert accuracy < 0.25
    for name in ("ReLU, untouched", "Sigmoid, untouched"):
        assert float(rows[name][0]) == 0.0
        assert float(rows[name][4]) <= 0.12
    for name in ("ReLU, init.mirrored", "Sigmoid, activation.tailored"):
        first, last, cosine, rank, accuracy, _ = map(float, rows[name])
        assert 0.1 < first / last < 10
        assert cosine < 0.5
        assert rank > 6
        assert accuracy > 0.9
    assert float(rows["ReLU, 4 layers"][0]) > 0.9


def cured(tmp_path: Path, name: str, steps: int) -> dict:
    """What ``headwater fix`` comes to on 200 plain layers."""
    target = f"{EXAMPLES / 'thousand_layers.py'}:{name}"
    done = headwater("fix", target, "--steps", str(steps), "--seeds", "3", "--json", cwd=tmp_path, LAYERS="200")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_abyss_of_200_layers_is_cured_and_the_cure_proven(tmp_path: Path) -> None:
    cure = cured(tmp_path, "relu", 40)
    assert cure["verdict"] == "proven"
    assert cure["metric_before"] <= 0.15
    assert cure["metric_after"] >= 0.85


@pytest.mark.slow
def test_abyss_of_200_sigmoid_layers_is_cured_and_the_cure_proven(tmp_path: Path) -> None:
    cure = cured(tmp_path, "sigmoid", 40)
    assert cure["verdict"] == "proven"
    assert cure["metric_before"] <= 0.15
    assert cure["metric_after"] >= 0.85
