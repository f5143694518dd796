"""``headwater fix`` and ``headwater prove`` as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.helpers import files_under, headwater, heed_ctrl_c, schema_violations

ILL = '''"""A deep sigmoid network that does not train."""

import torch
from torch import nn

import headwater as hw

generator = torch.Generator().manual_seed(0)
X = torch.randn(256, 2, generator=generator)
Y = (X.norm(dim=1) > 1.1774).long()


def model():
    layers = [nn.Linear(2, 8), nn.Sigmoid()]
    for _ in range(7):
        layers += [nn.Linear(8, 8), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(8, 2))


def batches():
    return [(X[rows], Y[rows]) for rows in torch.randperm(128).split(32)]


experiment = hw.Experiment(
    model=model,
    batches=batches,
    loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    validation=lambda: [(X[128:], Y[128:])],
    metric=lambda model, batches: sum(float((model(x).argmax(1) == y).float().mean()) for x, y in batches),
    metric_name="accuracy",
)




if __name__ == "__main__":
    print({type(module).__name__ for module in experiment.model()})
'''
QUICK = ("--seeds", "3", "--steps", "40")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program; finished runs are kept elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "work"
    place.mkdir()
    (place / "ill.py").write_text(ILL)
    return place


def journals(folder: Path) -> set[str]:
    return files_under(folder.parent / "cache")


def test_fix_shows_the_change_writes_it_only_if_asked_and_takes_it_back(folder: Path) -> None:
    shown = headwater("fix", "ill.py:experiment", *QUICK, "--jobs", "1", "--html", "cure.html", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("✓ Proven cure · ")
    assert "def repair(model):" in shown.stdout
    assert "Call repair(model) right after the model is made" in shown.stdout
    assert "Nothing was written" in shown.stderr
    assert (folder / "ill.py").read_text() == ILL
    assert files_under(folder) == {"ill.py", "cure.html"}
    assert journals(folder) == set()

    written = headwater("fix", "ill.py:experiment", *QUICK, "--jobs", "1", "--write", "--json", cwd=folder)
    assert written.returncode == 0, written.stderr
    cure = json.loads(written.stdout)
    assert schema_violations(cure, "cure") == []
    assert cure["patch"] in shown.stdout  # the same call finds the same change
    backups = [name for name in files_under(folder) if ".orig-" in name]
    assert [(folder / name).read_text() for name in backups] == [ILL]

    ran = subprocess.run([sys.executable, "ill.py"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Sigmoid" not in ran.stdout
    again = headwater("fix", "ill.py:experiment", *QUICK, "--jobs", "1", cwd=folder)
    assert "nothing to fix" in again.stdout.lower(), again.stdout + again.stderr

    undone = headwater("fix", "--undo", "ill.py", cwd=folder)
    assert undone.returncode == 0, undone.stderr
    assert (folder / "ill.py").read_text() == ILL
    assert files_under(folder) == {"ill.py", "cure.html"}


def test_prove_tells_the_verdict_with_its_exit_status(folder: Path) -> None:
    proven = headwater(
        "prove",
        "ill.py:experiment",
        "activation.tanh",
        "init.xavier",
        *("--seeds", "4", "--steps", "100", "--json", "--jobs", "2"),
        cwd=folder,
    )
    assert proven.returncode == 0, proven.stderr
    proof = json.loads(proven.stdout)
    assert schema_violations(proof, "proof") == []
    assert (proof["schema"], proof["verdict"], proof["processes"]) == ("headwater/proof/2", "proven", 2)
    assert (folder / "ill.py").read_text() == ILL
    idle = headwater("prove", "ill.py:experiment", "init.lecun", *QUICK, "--jobs", "1", cwd=folder)
    assert idle.returncode == 1, idle.stderr
    assert "not proven" in idle.stdout
    assert "Learning rates tried on every side" in idle.stdout
    assert max(map(len, idle.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("prove", "ill.py:experiment", "init.hi"), "Did you mean init.he"),
        (("prove", "ill.py:experiment"), "Missing argument"),
        (("prove", "ill.py:experiment", "init.he", "--seeds", "2"), "--seeds"),
        (("fix", "ill.py:experimant"), "experiment"),
        (("fix", "ill.py:experiment", "--steps", "3"), "--steps"),
        (("fix", "headwater.demo:experiment", "--write"), "--write changes a file"),
        (("fix", "--undo", "ill.py"), "nothing to undo"),
        (("fix", "--undo", "--write", "ill.py"), "leave one of them out"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_written(folder: Path, arguments, said) -> None:
    done = headwater(*arguments, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert files_under(folder) == {"ill.py"}


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    script = Path(sysconfig.get_path("scripts"), "headwater")
    return subprocess.Popen(
        [script, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
        env=dict(os.environ),
    )


def wait_for_runs(folder: Path, process: subprocess.Popen[str], runs: int) -> None:
    deadline = time.monotonic() + 200
    cache = folder.parent / "cache"
    while sum(path.read_bytes().count(b"\n") - 1 for path in cache.rglob("*.jsonl")) < runs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_ctrl_c_shows_what_was_finished_and_resume_goes_on_from_there(folder: Path, jobs: str) -> None:
    command = ("prove", "ill.py:experiment", "init.lecun", "--seeds", "6", "--steps", "60", "--jobs", jobs)
    process = started(folder, *command)
    wait_for_runs(folder, process, 12 + 2 * 8 + 1)  # the tuning of three arms, and two seeds
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, out + err
    assert "It was interrupted after" in " ".join(out.split())
    assert "--resume" in err
    assert len(journals(folder)) == 1
    resumed = headwater(*command, "--resume", cwd=folder)
    assert resumed.returncode == 1, resumed.stderr
    known = re.search(r"Going on with (\d+) finished runs", resumed.stderr)
    assert known is not None
    assert int(known[1]) >= 12 + 16
    assert journals(folder) == set()


def test_errors_of_the_program_are_its_own(folder: Path) -> None:
    (folder / "ill.py").write_text(ILL.replace("loss=lambda model, batch: nn", "loss=lambda model, batch: 1 / 0 + nn"))
    done = headwater("fix", "ill.py:experiment", *QUICK, "--jobs", "1", cwd=folder)
    assert done.returncode == 2
    assert "ZeroDivisionError" in done.stderr
