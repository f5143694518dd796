"""A plugin that cannot be used is named and left out; what works goes on."""

import json
from pathlib import Path

import pytest

from tests.helpers import headwater, python, typed
from tests.plugins.test_example_plugin import PROGRAM, with_folder

GOOD = """
from headwater.diagnosis.rule import Rule
from headwater.records import Evidence, Finding, Cause, Message
def look(observation):
    yield Finding("always", "info", (), (Evidence("one", 1.0),), (), (), Message("finding.always"))
RULE = Rule("always", look)
"""
# Name of the plugin, its group, what its module says, what is said of it.
BROKEN = [
    ("gone", "rules", None, "ModuleNotFoundError: No module named 'plugin_gone'"),
    ("raises", "rules", "1 / 0", "ZeroDivisionError: division by zero"),
    ("syntax", "remedies", "def", "SyntaxError"),
    ("number", "rules", "THING = 3", "it gives a int, and should give a Rule"),
    ("nothing", "rules", "OTHER = 3", "AttributeError"),
    (
        "taken",
        "rules",
        "from headwater.diagnosis.rule import Rule\nTHING = Rule('vanishing', lambda o: [])",
        "the id 'vanishing' is taken by headwater itself",
    ),
    (
        "failing",
        "rules",
        "from headwater.diagnosis.rule import Rule\nTHING = Rule('failing', lambda o: [1][o])",
        "the rule 'failing' of broken-failing failed and finds nothing: TypeError",
    ),
    (
        "mute",
        "rules",
        "from headwater.diagnosis.rule import Rule\nTHING = Rule('mute', lambda o: ['no finding'])",
        "it gives 'no finding', and should give findings of 'mute'",
    ),
    ("remedy", "remedies", "THING = object()", "it gives a object, and should give a Remedy"),
]


def install(folder: Path, name: str, group: str, code: str | None, object_name: str = "THING") -> None:
    """Put a package's metadata, and its module, where Python looks."""
    about = folder / f"broken_{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: broken-{name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[headwater.{group}]\n{name} = plugin_{name}:{object_name}\n")
    if code is not None:
        package = folder / f"plugin_{name}"
        package.mkdir()
        (package / "__init__.py").write_text(code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "installed"
    folder.mkdir()
    (tmp_path / "train.py").write_text(PROGRAM)
    return folder


def test_each_is_named_and_left_out_and_the_others_work(tmp_path: Path, folder: Path) -> None:
    for name, group, code, _ in BROKEN:
        install(folder, name, group, code)
    install(folder, "good", "rules", GOOD, "RULE")
    arguments = ("check", "train.py:experiment", "--seed", "0", "--json")
    done = headwater(*arguments, cwd=tmp_path, **with_folder(folder))
    alone = headwater(*arguments, cwd=tmp_path)
    assert done.returncode == alone.returncode == 1, done.stderr
    report, without = (json.loads(one.stdout)["diagnosis"]["findings"] for one in (done, alone))
    assert [f["symptom"] for f in report if f["symptom"] != "always"] == [f["symptom"] for f in without]
    assert "always" in [f["symptom"] for f in report]
    listed = typed("remedies", "--json", cwd=tmp_path, **with_folder(folder))
    assert listed.returncode == 0
    said = done.stderr + listed.stderr
    for name, _, _, why in BROKEN:
        lines = [line for line in said.splitlines() if f"{name!r} of broken-{name}" in line]
        assert lines, f"{name} is not named:\n{said}"
        assert any(why in line for line in lines), lines
        assert all(line.startswith("headwater: ") for line in lines)


def test_two_of_one_id_are_the_first_of_them(tmp_path: Path, folder: Path) -> None:
    install(folder, "a", "rules", GOOD, "RULE")
    install(folder, "b", "rules", GOOD, "RULE")
    done = headwater("check", "train.py:experiment", "--json", cwd=tmp_path, **with_folder(folder))
    assert "left out the rules plugin 'b' of broken-b: the id 'always' is taken by 'a' of broken-a." in done.stderr
    assert json.loads(done.stdout)["diagnosis"]["checked"].count("always") == 1


def test_lesson_that_cannot_be_loaded_is_named_and_the_others_are_run(tmp_path: Path, folder: Path) -> None:
    install(folder, "lesson", "lessons", "THING = 3")
    done = headwater("lessons", "lesson", cwd=tmp_path, **with_folder(folder))
    assert done.returncode == 2
    assert "'lesson' of broken-lesson" in done.stderr
    assert "should give a Lesson whose id is 'lesson'" in done.stderr
    listed = headwater("lessons", "--list", cwd=tmp_path, **with_folder(folder))
    assert listed.returncode == 0
    assert "vanishing" in listed.stdout


def test_texts_that_are_no_toml_are_named_and_ours_are_never_replaced(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    install(folder, "texts", "rules", GOOD, "RULE")
    pages = folder / "plugin_texts" / "i18n"
    pages.mkdir()
    (pages / "en.toml").write_text('[symptom]\nvanishing = "replaced"\n[finding]\nalways = "always there"\n')
    (pages / "ko.toml").write_text("no toml")
    monkeypatch.setenv("PYTHONPATH", with_folder(folder)["PYTHONPATH"])
    code = """
import warnings
from headwater.i18n import has_text, text
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(has_text("finding.always"), has_text("finding.never"))
    print(text("finding.always"), "|", text("symptom.vanishing"), "|", text("finding.always", language="ko"))
    print([str(one.message) for one in caught])
"""
    first, second, third = python(code).splitlines()
    assert first == "True False"
    assert second == "always there | vanishing gradient | always there"  # English where there is no Korean
    assert "'texts' of broken-texts" in third
    assert "its texts in 'ko' cannot be read" in third
