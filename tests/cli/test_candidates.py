from pathlib import Path

import pytest

from headwater.cli.candidates import candidates


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import headwater as hw\na = hw.Experiment()\nb: object = Experiment()\nc = d = Experiment()",
            ["a", "b", "c", "d"],
        ),
        (
            "def main(): ...\ndef build(): return hw.Experiment()\ndef typed() -> 'hw.Experiment': ...",
            ["build", "typed", "main"],
        ),
        ("def f(a): ...\ndef g(a=1, *b, c=2, **d): ...\ndef h(*, a): ...\ndef i(a, /): ...", ["g"]),
        ("def _hidden(): ...\nclass Experiment: ...\nx = 3\nx.y = Experiment()", []),
        ("if True:\n    inner = Experiment()", []),
        ("def broken(: ...", []),
        ("\x00", []),
    ],
)
def test_candidates_are_read_off_the_source(tmp_path: Path, code: str, expected: list[str]) -> None:
    file = tmp_path / "train.py"
    file.write_text(code)
    assert candidates(file) == expected


def test_missing_file_has_no_candidates(tmp_path: Path) -> None:
    assert candidates(tmp_path / "nosuch.py") == []
