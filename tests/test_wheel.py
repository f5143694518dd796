"""The wheel: nothing in it that does not belong, and it runs where only it and its dependencies are installed."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from headwater import __version__
from tests.helpers import ROOT, files_under

TRAIN = """
import torch
from torch import nn
import headwater as hw

experiment = hw.Experiment(
    model=lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)),
    batches=lambda: [torch.randn(16, 4)],
    loss=lambda model, batch: model(batch).square().mean(),
)
print(hw.__file__)
"""


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and nothing else, not even pip."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    command = [sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--no-index", "--no-deps", wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def run(environment: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run with the dependencies that the tests have: on PYTHONPATH, where no ``.pth`` brings in the checkout."""
    variables = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    return subprocess.run(
        [environment / "bin" / command[0], *command[1:]], cwd=cwd, env=variables, capture_output=True, text=True
    )


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    source = {f"headwater/{name}" for name in files_under(ROOT / "src" / "headwater") if "__pycache__" not in name}
    info = f"headwater-{__version__}.dist-info"
    metadata = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(zipfile.ZipFile(wheel).namelist()) == source | metadata


def test_wheel_has_its_data_and_no_startup_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = {"py.typed", "i18n/en.toml", "i18n/ko.toml", "report/report.schema.json", "report/style.css"}
    data |= {
        "report/lessons.schema.json",
        "report/trace.schema.json",
        "report/why.schema.json",
        "i18n/lessons/vanishing.toml",
    }
    data |= {"report/web/app.js", "report/web/app.css", "report/web/bundle.json", "report/view.schema.json"}
    data |= {"lab/web/lab.js", "lab/web/lab.css", "lab/web/bundle.json"}
    assert {f"headwater/{name}" for name in data} <= set(names)
    assert {Path(name).suffix for name in names if name.startswith("headwater/")} <= {
        ".py",
        ".typed",
        ".toml",
        ".css",
        ".json",
        ".js",
    }


def test_two_builds_are_equal(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_installed_wheel_shows_its_help(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "headwater", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "check" in done.stdout


def test_installed_wheel_checks_a_model(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    done = run(installed, "headwater", "check", "train.py:experiment", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    package = next(line for line in done.stderr.splitlines() if line.endswith("__init__.py"))
    assert Path(package).is_relative_to(installed)
