"""The lab in a real browser, on the real engine: journeys 7 and 8 as a student and a teacher walk them."""

from __future__ import annotations

import math
import re
import time

import pytest

from headwater.i18n.catalog import catalog
from tests.browser.conftest import Open, Opened
from tests.browser.laboratory import Laboratory, laboratory  # noqa: F401

FIRST = "Number((document.querySelector('#first-gradient')?.dataset.log10 ?? 'NaN'))"


def opened_lab(visit: Open, lab: Laboratory, state: str = "", **settings: object) -> Opened:
    """The lab with its first network measured."""
    opened = visit(lab.url(state), wait=False, **settings)
    opened.page.wait_for_selector("html[data-live]", timeout=30_000)
    return opened
