"""The samples' texts stand in the catalogues while a report is tried."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.i18n.catalog import catalog
from tests.report.samples import TEXTS


@pytest.fixture(autouse=True)
def sample_texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for language, texts in TEXTS.items():
        for message_id, template in texts.items():
            monkeypatch.setitem(catalog(language), message_id, template)
    monkeypatch.setenv("HEADWATER_LANG", "en")
    return


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
