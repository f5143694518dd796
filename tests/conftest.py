import os

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from what is there now")
