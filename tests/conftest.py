import os
import sys
from collections.abc import Callable
from pathlib import Path

# Deep narrow networks run several times faster on one thread; this comes before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# The same examples in every run: a failure that came once comes again.
settings.register_profile("headwater", derandomize=True, deadline=None)
settings.load_profile("headwater")


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    """The language of the machine that runs the tests is none of their business."""
    monkeypatch.setenv("HEADWATER_LANG", "en")


@pytest.fixture(autouse=True)
def _runs_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is watched is recorded, as it is for a user, but not into the folder the tests are run from."""
    monkeypatch.setenv("HEADWATER_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """An example that was loaded may have had the processor take them for zero."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from what is there now")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """``golden(path, text)`` compares with what is on record, or puts it there under ``--update-golden``."""
    update = bool(request.config.getoption("--update-golden"))

    def compare(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path.name} differs: look at it, then --update-golden"

    return compare
