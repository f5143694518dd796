"""From ``FILE.py:NAME`` to an Experiment: what is run, what is left alone, and what each mistake is told."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest

from headwater.cli.target import Target, parse, running
from headwater.records import Experiment, InputError

GOOD = """
from headwater import Experiment

def build():
    return Experiment(model=lambda: None, batches=lambda: [], loss=lambda model, batch: None)

experiment = Experiment(model=lambda: None, batches=lambda: [], loss=lambda model, batch: None)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with ``train.py`` in it; modules that were loaded from it are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(GOOD)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(target: str) -> str:
    with pytest.raises(InputError) as caught, running(target):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("train.py:experiment", Target("train.py", "experiment")),
        ("/a b/train.py:experiment", Target("/a b/train.py", "experiment")),
        ("package.training:build", Target("package.training", "build")),
        (r"C:\work\train.py:experiment", Target(r"C:\work\train.py", "experiment")),
        (r"C:\work\train.py", Target(r"C:\work\train.py", "")),
        ("C:/work/train.py", Target("C:/work/train.py", "")),
        ("train.py", Target("train.py", "")),
        ("train.py:", Target("train.py", "")),
        (":experiment", Target("", "experiment")),
        ("", Target("", "")),
    ],
)
def test_target_is_split_at_the_last_colon(target: str, expected: Target) -> None:
    assert parse(target) == expected


@pytest.mark.parametrize("name", ["experiment", "build"])
def test_file_target_gives_the_experiment(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with running(f"train.py:{name}") as experiment:
        assert isinstance(experiment, Experiment)
    assert capsys.readouterr().err == f"Running {folder / 'train.py'}\n"


def test_module_target_is_imported_from_the_path_of_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "library" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "training.py").write_text("from . import __name__ as own\n" + GOOD)
    monkeypatch.syspath_prepend(folder / "library")
    with running("package.training:experiment") as experiment:
        assert isinstance(experiment, Experiment)


def test_only_the_folder_of_the_file_becomes_importable(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "train.py").write_text("import sys, sibling\nseen = (sys.path[:], sys.argv[:])\n" + GOOD)
    (inner / "sibling.py").touch()
    before = (sys.path[:], sys.argv[:])
    with running("inner/train.py:experiment"):
        seen = sys.modules["train"].seen
        assert seen == ([str(inner), *before[0]], [str(inner / "train.py")])
        assert str(folder) not in sys.path
    assert (sys.path, sys.argv) == before


def test_path_and_arguments_are_given_back_when_checking_fails(folder: Path) -> None:
    before = (sys.path[:], sys.argv[:])
    with pytest.raises(InputError, match="no batch"), running("train.py:experiment"):
        raise InputError("no batch")
    assert (sys.path, sys.argv) == before


def test_error_of_the_users_code_is_shown_as_such_while_it_is_checked(folder: Path) -> None:
    code = GOOD + "def model():\n    import json\n    return json.loads('{')\n"
    (folder / "train.py").write_text(code)
    with pytest.raises(InputError) as caught, running("train.py:experiment"):
        sys.modules["train"].model()
    message = str(caught.value)
    assert message.startswith("the code that was to be checked stopped with an error: json.decoder.JSONDecodeError: ")
    assert message.endswith("train.py, line 10: return json.loads('{')")


def test_error_of_a_file_that_the_users_code_calls_is_shown_as_such(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "net.py").write_text("def model(): raise ValueError('planted')")
    (folder / "train.py").write_text("from parts import net\n" + GOOD)
    with pytest.raises(InputError, match=r"ValueError: planted\n.*net.py, line 1"), running("train.py:experiment"):
        sys.modules["train"].net.model()


def test_error_of_headwater_is_passed_on_as_it_is(folder: Path) -> None:
    with pytest.raises(AttributeError, match="rpartition"), running("train.py:experiment"):
        parse(cast(str, None))


def test_loading_leaves_no_file_behind(folder: Path) -> None:
    (folder / "sibling.py").touch()
    (folder / "train.py").write_text("import sibling\n" + GOOD)
    with running("train.py:experiment"):
        pass
    assert {path.name for path in folder.iterdir()} == {"train.py", "sibling.py"}


def test_file_named_like_a_library_does_not_take_its_place(folder: Path) -> None:
    (folder / "click.py").write_text(GOOD)
    with running("click.py:experiment") as experiment:
        assert isinstance(experiment, Experiment)
        assert sys.modules["click"] is click


def test_class_of_the_file_can_be_pickled_for_worker_processes(folder: Path) -> None:
    (folder / "train.py").write_text(GOOD + "\nclass Data: ...\n")
    with running("train.py:experiment"):
        data = sys.modules["train"].Data
        assert pickle.loads(pickle.dumps(data)) is data


def test_nothing_is_run_where_the_target_is_incomplete(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.py").write_text("open('canary', 'w')\n" + GOOD)
    for target in ("train.py", "train.py:", "train.py:my-experiment", "trian.py:experiment", "train:experiment"):
        refusal(target)
    assert not (folder / "canary").exists()
    assert capsys.readouterr().err == ""


def test_quoted_tilde_is_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    with running("~/train.py:experiment") as experiment:
        assert isinstance(experiment, Experiment)


@pytest.fixture
def package(folder: Path) -> Path:
    """``pk/sub/train.py``, which imports from its own package two folders up."""
    package = folder / "pk" / "sub"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package.parent / "net.py").touch()
    (package / "train.py").write_text("from .. import net\n" + GOOD)
    return package


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("target", ["pk.sub.train:experiment", "pk/sub/train.py:experiment"])
def test_file_in_a_package_is_told_the_call_that_works(folder: Path, target: str) -> None:
    call = "PYTHONPATH=. headwater check pk.sub.train:experiment"
    assert call in refusal(target)
    sys.path.insert(0, str(folder))  # as PYTHONPATH=. would
    try:
        with running("pk.sub.train:experiment") as experiment:
            assert isinstance(experiment, Experiment)
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize("target", ["train:experiment", "train.py:experiment"])
def test_file_in_a_package_is_told_the_folder_of_the_package(
    folder: Path, package: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(package)
    assert f"PYTHONPATH={folder} headwater check pk.sub.train:experiment" in refusal(target)


@pytest.mark.usefixtures("package")
def test_package_that_python_does_not_find_is_told_how(folder: Path) -> None:
    assert refusal("pk.sub:experiment").endswith("PYTHONPATH=. headwater check pk.sub:experiment")


def test_relative_imports_say_how_far_a_package_without_init_reaches(folder: Path) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "train.py").write_text("from ..net import x\n" + GOOD)
    assert refusal("a/b/train.py:build").endswith("PYTHONPATH=. headwater check a.b.train:build")


def test_package_of_a_missing_module_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "library" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("open('canary', 'w')")
    monkeypatch.syspath_prepend(folder / "library")
    assert "Python finds no module package.training" in refusal("package.training:experiment")
    assert not (folder / "canary").exists()


@pytest.mark.parametrize(
    ("target", "culprit", "corrected"),
    [
        ("", "'' names no file or module", "headwater check train.py:experiment"),
        (":experiment", "':experiment' names no file", "headwater check train.py:experiment"),
        ("train.py", "which name in train.py?", "train.py:experiment\n    headwater check train.py:build"),
        ("train.py:", "which name in train.py?", "headwater check train.py:experiment"),
        ("train.py:my-exp", "'my-exp' is no name in Python", "headwater check train.py:experiment"),
        ("train.py:experimnet", "there is no 'experimnet' in train.py", "headwater check train.py:experiment"),
        ("train.py:zzz", "there is no 'zzz' in train.py", "headwater check train.py:build"),
        ("trian.py:experiment", "there is no file trian.py", "headwater check train.py:experiment"),
        ("no/train.py:build", "no file no/train.py (nor a folder no)", "headwater check train.py:build"),
        ("train:build", "finds no module train, but there is a file train.py", "headwater check train.py:build"),
        ("nosuch.module:x", "finds no module nosuch.module", "headwater check FILE.py:x"),
        (".hidden:x", "there is no file .hidden", "headwater check train.py:x"),
        ("./:experiment", "./ is a folder", "headwater check train.py:experiment"),
        ("./notes.txt:experiment", "./notes.txt is no Python file", "FILE.py:NAME"),
    ],
)
def test_wrong_place_is_told_the_right_one(folder: Path, target: str, culprit: str, corrected: str) -> None:
    (folder / "notes.txt").touch()
    message = refusal(target)
    assert culprit in message
    assert corrected in message


@pytest.mark.parametrize(
    ("code", "culprit", "corrected"),
    [
        ("x = 3", "train.py:x is an int", "experiment = Experiment("),
        ("x = None", "train.py:x is a NoneType", "headwater check train.py:experiment"),
        ("def x(depth, width=3): ...", "train.py:x needs arguments (depth)", "return x(depth=...)"),
        ("def x(*, depth): ...", "train.py:x needs arguments (depth)", "headwater check train.py:experiment"),
        ("def x(): ...", "train.py:x returned None", "`return Experiment(...)`"),
        ("def x(): return {}", "train.py:x returned a dict", "experiment = Experiment("),
        ("async def x(): ...", "train.py:x returned a coroutine", "experiment = Experiment("),
        ("class x: ...", "train.py:x is a class", "model=x,"),
        ("from torch import nn\nx = nn.Linear(2, 2)", "train.py:x is a model (Linear)", "model=lambda: Linear(...),"),
        ("from torch import nn\ndef x(): return nn.ReLU()", "train.py:x returned a model (ReLU)", "model=x,"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_something_else_is_told_how_to_become_an_experiment(
    folder: Path, code: str, culprit: str, corrected: str
) -> None:
    (folder / "train.py").write_text(code)
    message = refusal("train.py:x")
    assert culprit in message
    assert corrected in message


@pytest.mark.parametrize(
    ("code", "error", "line"),
    [
        ("a = 1\nb = a / 0\n", "ZeroDivisionError: division by zero", "line 2: b = a / 0"),
        ("def half(: pass\n", "SyntaxError: ", "line 1: def half(: pass"),
        ("import nosuchpackage\n", "No module named 'nosuchpackage'", "line 1: import nosuchpackage"),
        ("def x():\n    return undefined\n", "name 'undefined' is not defined", "line 2: return undefined"),
        ("import sys\nsys.exit(5)\n", "it ended the program (SystemExit: 5)", "line 2: sys.exit(5)"),
        ("from .data import a\n", "relative import", "headwater check FOLDER.train:x"),
        ("import json\njson.loads('{')\n", "JSONDecodeError", "train.py, line 2: json.loads('{')"),
        (
            "from headwater import Experiment\nx = Experiment(model=3, batches=list, loss=print)\n",
            "Experiment(model=...) takes a function, got int",
            "line 2: x = Experiment(",
        ),
    ],
)
def test_error_in_the_file_is_shown_with_its_line(folder: Path, code: str, error: str, line: str) -> None:
    (folder / "train.py").write_text(code)
    message = refusal("train.py:x")
    assert message.startswith("train.py")
    assert error in message
    assert line.replace("FOLDER", folder.name) in message


def test_file_with_a_nul_byte_is_named(folder: Path) -> None:
    (folder / "train.py").write_bytes(b"x = 1\n\0")
    message = refusal("train.py:x")
    assert "null byte" in message
    assert str(folder / "train.py") in message
    assert "None" not in message


def test_error_in_a_module_is_shown_with_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "library").mkdir()
    (folder / "library" / "broken_module.py").write_text("a = 1\nb = a / 0\n")
    monkeypatch.syspath_prepend(folder / "library")
    message = refusal("broken_module:experiment")
    assert message.startswith("module broken_module stopped with an error while it was imported: ZeroDivisionError")
    assert "broken_module.py, line 2: b = a / 0" in message


def test_file_without_any_experiment_is_told_to_add_one(folder: Path) -> None:
    (folder / "train.py").write_text("import torch\n")
    message = refusal("train.py")
    assert "Add to train.py" in message
    assert "headwater check train.py:experiment" in message
