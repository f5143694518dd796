"""``docs/ci.md`` as somebody follows it: its tests run, and its pipeline tells a good network from a bad one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli.exit_codes import ExitCode
from tests.helpers import ROOT, headwater

PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
CHECK, READ, ALLOW = (block.strip() for block in re.findall(r"```sh\n(.+?)```", PAGE, re.DOTALL))
EXPERIMENT = """
torch.manual_seed(0)
data = [batch() for _ in range(8)]
experiment = hw.Experiment(make_model, lambda: data, loss, lambda parameters: torch.optim.Adam(parameters, lr={rate}))
"""
BROKEN = CODE.replace("nn.ReLU()", "nn.Identity()", 1).replace("nn.ReLU()", "nn.Identity()")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)


def test_its_tests_pass_and_fail_with_the_network(tmp_path: Path) -> None:
    (tmp_path / "test_good.py").write_text(CODE)
    (tmp_path / "test_bad.py").write_text(BROKEN)
    done = shell(f"{sys.executable} -m pytest -q -p no:cacheprovider", tmp_path)
    assert "2 failed, 2 passed" in done.stdout, done.stdout
    assert done.stdout.count("FAILED test_bad.py") == 2
    assert "is not known to be healthy" in done.stdout


@pytest.mark.parametrize(("rate", "status", "verdict"), [("3e-3", 0, "healthy"), ("1e-9", 1, "findings")])
def test_its_pipeline_goes_on_or_fails(tmp_path: Path, rate: str, status: int, verdict: str) -> None:
    (tmp_path / "train.py").write_text("print('of the user')\n" + CODE + EXPERIMENT.format(rate=rate))
    arguments = CHECK.removeprefix("headwater ").removesuffix(" > report.json").split()
    done = headwater(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    report = json.loads(done.stdout)["diagnosis"]
    assert report["verdict"] == verdict
    if shutil.which("jq") is None:
        pytest.skip("no jq on this machine")
    (tmp_path / "report.json").write_text(done.stdout)
    findings = [finding for finding in report["findings"] if finding["severity"] != "info"]
    named = [f"{finding['symptom']} {finding['causes'][0]['id']} {finding['sites'][0]}" for finding in findings]
    assert shell(READ, tmp_path).stdout.splitlines() == [verdict, *named]
    assert shell(ALLOW, tmp_path).returncode == status


def test_the_statuses_it_lists_are_those_there_are() -> None:
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(ExitCode)
