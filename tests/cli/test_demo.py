"""``headwater demo``: what a newcomer sees first is all there, and it is true."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from headwater.demo import experiment, sigmoid_network
from tests.helpers import files_under, headwater, schema_violations, typed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    """One run of the demo, for all that is read off it."""
    return typed("demo", "--seeds", "3", cwd=folder, HEADWATER_LANG="en")


def test_demo_shows_verdict_cause_and_proof(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stderr
    assert "vanishing gradient" in shown.stdout
    assert "activation derivatives" in shown.stdout
    assert "✓ proven" in shown.stdout


def test_demo_writes_one_page(shown: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert "Report written to headwater-demo.html" in shown.stdout
    assert files_under(folder) == {"headwater-demo.html"}


def test_patch_of_the_demo_repairs_the_gradient(shown: subprocess.CompletedProcess[str]) -> None:
    code = shown.stdout[shown.stdout.index("import torch\n") : shown.stdout.index("Report written")]
    namespace: dict[str, object] = {}
    exec(code, namespace)
    torch.manual_seed(0)
    subject, batch = experiment(), next(iter(experiment().batches()))
    norms = []
    for model in (sigmoid_network(), namespace["repair"](sigmoid_network())):
        subject.loss(model, batch).backward()
        norms.append(model[0].weight.grad.double().norm().item())
    assert norms[0] < 1e-20
    assert norms[1] > 1e-3


@pytest.mark.slow
def test_demo_as_json_is_a_report_with_its_proof(tmp_path: Path) -> None:
    done = headwater("demo", "--seeds", "3", "--json", "--html", "other.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert schema_violations(report) == []
    assert report["diagnosis"]["findings"][0]["symptom"] == "vanishing"
    assert report["proof"]["verdict"] == "proven"
    assert report["proof"]["placebo"] < 0.2 < 0.8 < report["proof"]["metric_after"]
    assert files_under(tmp_path) == {"other.html"}


def test_demo_without_its_data_says_what_brings_them(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['sklearn'] = None; from headwater.cli.main import main; main()"
    command = [sys.executable, "-c", hidden, "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'pip install "headwater[demo]"' in done.stderr
    assert files_under(tmp_path) == set()
