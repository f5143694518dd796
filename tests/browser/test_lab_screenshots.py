"""Pictures of the lab as people see it, in both languages and themes; `--update-golden` renews those in docs/images."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Open
from tests.browser.test_screenshots import IMAGES, keep

TRAINED = "Number(document.querySelector('.readout dd').innerText.replace(',', '')) >= 60"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_lab_can_be_looked_at(enter: Open, scheme: str, language: str, request: pytest.FixtureRequest) -> None:
    opened = enter(f"lang={language}", color_scheme=scheme, width=1440, height=900)
    opened.page.wait_for_selector("#flow .theory .drawn-line[d^=M]", state="attached", timeout=60_000)
    opened.page.keyboard.press("Space")
    opened.until(TRAINED)
    opened.page.keyboard.press("Space")
    opened.page.wait_for_selector(".play[aria-pressed=false]")
    keep(opened.page.screenshot(), IMAGES / f"lab.{language}.{scheme}.png", request)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_repair_can_be_looked_at(enter: Open, language: str, request: pytest.FixtureRequest) -> None:
    opened = enter(f"lang={language}", width=1440, height=900)
    opened.page.click(".do-it")
    opened.page.wait_for_selector(".outcome")
    opened.until(TRAINED)
    opened.page.keyboard.press("Space")
    opened.page.wait_for_selector(".play[aria-pressed=false]")
    keep(opened.page.screenshot(), IMAGES / f"lab-repair.{language}.light.png", request)


def test_layer_can_be_looked_at(enter: Open, request: pytest.FixtureRequest) -> None:
    page = enter("layer=2", width=1440, height=900).page
    page.wait_for_selector("#layer .input-bar")
    keep(page.locator("#layer").screenshot(), IMAGES / "lab-layer.en.light.png", request)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_lesson_can_be_looked_at(enter: Open, language: str, request: pytest.FixtureRequest) -> None:
    page = enter(f"lesson=vanishing&lang={language}", width=1440, height=900).page
    page.wait_for_selector(".lesson .story")
    keep(page.screenshot(), IMAGES / f"lab-lesson.{language}.light.png", request)
