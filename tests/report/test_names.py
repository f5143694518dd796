import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from headwater.report.markup import code, el
from headwater.report.names import clean, clean_code, crop, shorten
from tests.report.hostile import NAMES

anything = st.text(st.characters())


@given(anything)
def test_clean_leaves_nothing_that_acts(name: str) -> None:
    assert not [char for char in clean(name) if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}]
    assert clean(clean(name)) == clean(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07gone", "gone"),
        ("\x1b]8;;http://evil.example\x1b\\link", "link"),
        ("\u202egnp.exe", "gnp.exe"),
        ("nul\x00byte", "nulbyte"),
        ("line\nbreak", "line break"),
        ("층 1", "층 1"),
    ],
)
def test_clean_keeps_what_is_meant(name: str, shown: str) -> None:
    assert clean(name) == shown


@given(anything.map(clean), st.integers(3, 60))
def test_shorten_fits_its_place(name: str, cells: int) -> None:
    assert cell_len(shorten(name, cells)) <= cells
    assert cell_len(crop(name, cells)) <= cells


def test_shorten_keeps_both_ends() -> None:
    assert shorten("transformer.layers.11.attention", 15) == "transfo…tention"


def test_clean_code_keeps_lines_and_tabs() -> None:
    assert clean_code("if x:\n\ty = '\x1b[31m'\n") == "if x:\n\ty = ''"


@pytest.mark.parametrize("name", NAMES)
def test_el_escapes_text_and_attributes(name: str) -> None:
    made = el("p", name, title=name)
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert str(code(name)).count("<") == 4


def test_el_leaves_out_what_is_not_said() -> None:
    assert el("p", None, class_="a", id=None, hidden=False) == '<p class="a"></p>'
    assert el("p", 3, tabindex=0, x=1.04) == '<p tabindex="0" x="1">3</p>'
