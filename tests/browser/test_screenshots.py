"""Each view, light and dark, in both languages; ``--update-golden`` puts the pictures into docs/images/."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.report.view import Course
from tests.browser.conftest import Open
from tests.helpers import ROOT
from tests.runs import large_course

IMAGES = ROOT / "docs" / "images"
VIEWS = {"verdict": ".verdict", "map": "#map", "lines": "#lines", "layer": "#layer", "waterfall": "#waterfall"}
MOST_BYTES = 250_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_each_view_can_be_looked_at(
    visit: Open, report: str, scheme: str, language: str, request: pytest.FixtureRequest
) -> None:
    page = visit(f"{report}#lang={language}", color_scheme=scheme, width=1280).page
    for name, place in VIEWS.items():
        keep(page.locator(place).screenshot(), IMAGES / f"{name}.{language}.{scheme}.png", request)
    keep(page.screenshot(full_page=True), IMAGES / f"page.{language}.{scheme}.png", request)


def test_two_runs_can_be_looked_at(
    visit: Open, pages: Callable[..., str], course: Course, request: pytest.FixtureRequest
) -> None:
    page = visit(pages(course, large_course(17, 40, name="other")), width=1280).page
    keep(page.screenshot(full_page=True), IMAGES / "compare.en.light.png", request)


def keep(picture: bytes, path: Path, request: pytest.FixtureRequest) -> None:
    """Put a picture on record if asked to; whether or not, it has to show something."""
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 300
    assert height > 100
    assert len(picture) > 2_000  # a plain ground deflates to less
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(compressed(picture))
        assert path.stat().st_size <= MOST_BYTES


def compressed(picture: bytes) -> bytes:
    """In 256 colours where Pillow is there: charts and text need no more."""
    try:
        from PIL import Image
    except ImportError:
        return picture
    small = io.BytesIO()
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
