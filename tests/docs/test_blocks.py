"""Every code block of the documentation is run, or says why it cannot be and is at least read."""

import ast
import base64
import contextlib
import io
import json
import shlex
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy
import pytest
import torch
from click.testing import CliRunner

import headwater as hw
from headwater.cli.main import cli
from tests.docs.pages import DOCS, PAGES, commands, fences, mentioned, without_comments
from tests.helpers import EXAMPLES, ROOT

RUN = ("index.md", "guide.md", "faq.md")
"""Pages whose blocks are one program from top to bottom, run here."""
READING = ("json.md", "run-format.md")
"""Pages whose Python reads a report or a run, which is made for it here; their shell lines only need jq."""
RUN_ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "ci.md": "tests/test_ci_page.py",
    "distributed.md": "tests/distributed/test_reading.py",
    "theory.md": "tests/theory/test_page.py",
}
"""Pages whose blocks another test runs."""
FILES = {"sweeps.md": EXAMPLES / "edge_of_chaos.toml"}
"""Pages whose block is a file of the examples, which tests run."""


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".ko.md", ".md"))


ENGLISH = [page for page in PAGES if not page.name.endswith(".ko.md")]


@pytest.mark.parametrize("page", RUN)
def test_page_is_a_program_that_prints_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_RUNS")  # what is typed finds what the blocks have recorded, in runs/
    torch.set_num_threads(1)
    names: dict[str, object] = {"__name__": "page"}
    for block in fences(DOCS / page):
        if block.language == "python":
            if block.title.endswith(".py"):
                Path(block.title).write_text(block.code, encoding="utf-8")
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block.code, page, "exec"), names)
            assert block.output in (None, printed.getvalue()), (
                f"{page}, after:\n{block.code}\nprints\n{printed.getvalue()}"
            )
        if block.language == "console":
            for line in block.code.splitlines():
                run_as_typed(line.removeprefix("$ "))


def run_as_typed(line: str) -> None:
    """A command as a reader types it, but in this process: torch is loaded once."""
    done = CliRunner().invoke(cli, shlex.split(line)[1:], prog_name="headwater")
    assert done.exit_code in (0, 1), f"{line}\n{done.output}"
    assert done.output


def a_report() -> dict[str, Any]:
    """What somebody has at hand who reads about the JSON: a report, and the view of a run."""
    hw.check(torch.nn.Linear(3, 2), torch.randn(8, 3), lambda model, x: model(x).square().mean()).save("r.json")
    a_run()
    view = json.loads(CliRunner().invoke(cli, ["report", "runs/a", "--json"], prog_name="headwater").stdout)
    return {"view": view, "statistic": view["statistics"][0], "base64": base64, "numpy": numpy, "zlib": zlib}


def a_run() -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, run="runs/a", every=1):
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
    return {}


@pytest.mark.parametrize(("page", "prepare"), [("json.md", a_report), ("run-format.md", a_run)])
def test_page_reads_what_it_says_is_there(
    page: str, prepare: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = prepare()
    blocks = [block.code for block in fences(DOCS / page) if block.language == "python"]
    assert blocks
    for code in blocks:
        exec(compile(code, page, "exec"), names)
    if "levels" in names:
        assert names["levels"].shape == (1, 1)
        assert numpy.isfinite(names["levels"]).all()


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_every_block_is_accounted_for(page: Path) -> None:
    for block in fences(page):
        if block.language in ("python", "console", "sh", "toml") and page.parent.name != "reference":
            known = name(page) in (*RUN, *READING, *RUN_ELSEWHERE, *FILES)
            assert known or block.is_excerpt, f"{name(page)}: nobody runs\n{block.code}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_of_a_page_is_python(page: Path) -> None:
    for block in fences(page):
        if block.language == "python":
            ast.parse(block.code)


@pytest.mark.parametrize("test", RUN_ELSEWHERE.values())
def test_tests_that_run_a_page_name_it(test: str) -> None:
    page = next(page for page, home in RUN_ELSEWHERE.items() if home == test)
    assert page.removesuffix(".md") in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "file"), FILES.items())
def test_file_shown_is_the_one_that_is_there(page: str, file: Path) -> None:
    shown = [tomllib.loads(block.code) for block in fences(DOCS / page) if block.language == "toml"]
    assert shown == [tomllib.loads(file.read_text(encoding="utf-8"))]


KOREAN = [page for page in PAGES if page.name.endswith(".ko.md") and english(page).exists()]


@pytest.mark.parametrize("page", KOREAN, ids=name)
def test_both_languages_show_the_same_code_and_commands(page: Path) -> None:
    def code(which: Path) -> list[tuple[str, str]]:
        return [(block.language, without_comments(block.code)) for block in fences(which)]

    assert code(page) == code(english(page))
    typed = [[command.replace(" --lang ko", "") for command in commands(which)] for which in (page, english(page))]
    assert typed[0] == typed[1]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_have_options_that_there_are(page: Path) -> None:
    for command in (*commands(page), *mentioned(page)):
        parse(command)


def parse(command: str) -> None:
    """Fail if a command line names a command or an option that there is not; files need not be there."""
    words = shlex.split(command)[1:]
    context = click.Context(cli, info_name="headwater")
    options = [word for word in words if not word.startswith("-")]
    if not options:
        cli.make_context("headwater", words or ["--help"], resilient_parsing=True)
        return
    found = cli.get_command(context, options[0])
    assert found is not None, f"{command!r}: there is no command {options[0]!r}"
    try:
        found.make_context(options[0], words[words.index(options[0]) + 1 :], parent=context)
    except click.exceptions.Exit:  # --help
        pass
    except click.NoSuchOption as error:
        raise AssertionError(f"{command!r}: {error.format_message()}") from error
    except click.UsageError as error:
        if "requires" in error.format_message():
            raise AssertionError(f"{command!r}: {error.format_message()}") from error


def test_an_option_that_there_is_not_is_found() -> None:
    with pytest.raises(AssertionError, match="--intervent"):
        parse("headwater check train.py:experiment --intervent")
    with pytest.raises(AssertionError, match="no command"):
        parse("headwater chek train.py:experiment")
