"""The group around the commands: help, exit statuses, and what a folder one happens to be in may not do."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headwater import __version__
from headwater.cli.main import COMMANDS, cli
from headwater.records import InputError
from tests.helpers import ROOT, heed_ctrl_c, typed

SLOW_TARGET = """
import sys, time
from headwater import Experiment

def model():
    print("measuring", file=sys.stderr, flush=True)
    time.sleep(60)

experiment = Experiment(model=model, batches=list, loss=print)
"""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command ``fail KIND`` that fails in each way a command can."""
    from headwater.cli import check as module
    from headwater.cli.options import traceback_option

    errors = {
        "input": InputError("the batch is empty"),
        "internal": RuntimeError("planted"),
        "interrupt": KeyboardInterrupt(),
        "usage": click.UsageError("not like this"),
    }

    @click.command()
    @click.argument("kind")
    @traceback_option
    def fail(kind: str) -> None:
        raise errors[kind] from ValueError("underneath")

    monkeypatch.setitem(COMMANDS, "fail", module.__name__)
    monkeypatch.setattr(module, "fail", fail, raising=False)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["check", "--help"], ["demo", "--help"], ["trace", "--help"]]
)
def test_help_says_what_the_exit_status_means(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert "Exit status: 0" in result.output


def test_every_command_has_a_line_of_help() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for name in COMMANDS:
        line = next(line for line in output.splitlines() if line.startswith(f"  {name} "))
        assert len(line.split()) > 3


def test_every_command_is_in_both_readmes() -> None:
    for page in ("README.md", "README.ko.md"):
        content = (ROOT / page).read_text(encoding="utf-8")
        assert [name for name in COMMANDS if f"headwater {name}" not in content] == [], page


def test_version_is_shown() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"headwater, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["chekc"], ["check"], ["check", "a:b", "--steps", "-1"], ["check", "--what"]]
)
def test_wrong_command_line_exits_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["input"], 2, "Error: the batch is empty\n"),
        (["usage"], 2, "Error: not like this\n"),
        (["interrupt"], 130, "Interrupted.\n"),
        (["internal"], 3, "RuntimeError: planted\nRun it again with --traceback to see where.\n"),
        (["internal", "--traceback"], 3, f"Internal error in headwater {__version__}: RuntimeError: planted\n"),
        (["input", "--traceback"], 2, "ValueError: underneath\nError: the batch is empty\n"),
    ],
)
def test_every_failure_ends_in_its_status_and_one_message(arguments: list[str], status: int, message: str) -> None:
    result = CliRunner().invoke(cli, ["fail", *arguments])
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.endswith(message)
    assert ("Traceback (most recent call last)" in result.stderr) == (arguments == ["internal", "--traceback"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_full_stdout_is_told_in_one_line(option: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "headwater", option], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "Error: cannot write the output: No space left on device.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "train.py").write_text(SLOW_TARGET)
    command = [sys.executable, "-m", "headwater", "check", "train.py:experiment"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == "measuring\n":
                break
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (output, errors) == ("", "Interrupted.\n")


@pytest.mark.parametrize("command", [["headwater"], [sys.executable, "-m", "headwater"]])
def test_current_folder_brings_no_code_in(tmp_path: Path, command: list[str]) -> None:
    for name in ("click", "rich", "torch", "sitecustomize", "usercustomize", "conftest", "model", "train"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')")
    (tmp_path / ".env").write_text("PYTHONSTARTUP=model.py")
    (tmp_path / "headwater.toml").write_text("plugins = ['model']")
    for arguments, status in ((["--help"], 0), (["check", "train:experiment"], 2)):
        done = (
            typed(*arguments, cwd=tmp_path)
            if command == ["headwater"]
            else subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
        )
        assert done.returncode == status, done.stderr
    assert not (tmp_path / "canary").exists()
