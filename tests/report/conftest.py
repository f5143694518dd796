"""The samples' texts stand in the catalogues while a report is tried."""

from collections.abc import Iterator

import pytest

from headwater.i18n.catalog import catalog
from tests.report import lesson_samples
from tests.report.samples import TEXTS


@pytest.fixture(autouse=True)
def sample_texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for language, texts in TEXTS.items():
        for message_id, template in texts.items():
            monkeypatch.setitem(catalog(language), message_id, template)
        for key, template in lesson_samples.TEXTS.items():
            monkeypatch.setitem(catalog(language), f"lesson.{lesson_samples.ID}.{key}", template)
    monkeypatch.setenv("HEADWATER_LANG", "en")
    return
