"""``headwater lessons``: end to end, as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from headwater.cli.main import cli
from headwater.lessons import ORDER
from headwater.records.lesson import LessonResult
from tests.helpers import files_under, headwater, heed_ctrl_c, python, schema_violations
from tests.lessons.ran import WRITTEN, result

QUICK = "sigmoid-derivative"


def test_one_lesson_is_run_and_told_in_full(tmp_path: Path) -> None:
    done = headwater("lessons", QUICK, "--html", "l.html", "--lang", "ko", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✓ 성립 · 시그모이드의 도함수\n")
    assert "측정값 0.25 · 범위 0.25 ± 1.0e-9" in done.stdout
    assert "l.html" in done.stderr
    assert files_under(tmp_path) == {"l.html"}
    assert '<html lang="ko">' in (tmp_path / "l.html").read_text(encoding="utf-8")


def test_json_is_the_results_and_their_texts(tmp_path: Path) -> None:
    done = headwater("lessons", QUICK, "--json", "--processes", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert schema_violations(data, "lessons") == []
    assert data["schema"] == "headwater/lessons/1"
    assert data["holds"] is True
    assert data["results"][0]["texts"]["title"] == "The derivative of the sigmoid"
    assert data["results"][0]["checks"][0]["what"]["text"] == "largest σ′ is 1/4"
    assert LessonResult.from_dict(data["results"][0]).checks == result(QUICK).checks


def test_claim_that_does_not_hold_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    import headwater.lessons

    failing = replace(result(QUICK), holds=False)
    monkeypatch.setattr(headwater.lessons, "run_all", lambda *_: (result(QUICK), failing))
    shown = CliRunner().invoke(cli, ["lessons"])
    assert shown.exit_code == 1
    assert "✗ 1 of 2 hold" in shown.output


def test_without_an_id_all_are_run_and_shown_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import headwater.lessons

    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(headwater.lessons, "run_all", lambda *given: asked.append(given) or (result(QUICK),) * 9)
    shown = CliRunner().invoke(cli, ["lessons", "--processes", "3"])
    assert shown.exit_code == 0
    assert asked[0][:2] == ((), 3)
    assert "✓ 9 of 9 hold" in shown.output
    assert "Claim" not in shown.output


def test_list_names_every_lesson_and_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.lessons.engine._run", None)
    if list(ORDER) == WRITTEN:
        shown = CliRunner().invoke(cli, ["lessons", "--list"])
        assert [line.split()[0] for line in shown.output.splitlines()] == list(ORDER)
    shown = CliRunner().invoke(cli, ["lessons", "--list", "vanishing", "--lang", "ko"])
    assert (shown.exit_code, shown.output) == (0, "vanishing  기울기 소실\n")


def test_list_needs_no_torch() -> None:
    shown = python(
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from headwater.cli.main import cli\n"
        "print(CliRunner().invoke(cli, ['lessons', '--list', 'he']).output.strip(), 'torch' in sys.modules)"
    )
    assert shown.startswith("he  ")
    assert shown.endswith(" False")


@pytest.mark.parametrize("arguments", [["vanising"], ["vanising", "--list"], [QUICK, "vanising"]])
def test_unknown_lesson_is_refused_with_the_nearest(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, ["lessons", *arguments])
    assert shown.exit_code == 2
    assert "no lesson 'vanising'. Did you mean vanishing" in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["--processes", "0"], ["--lang", "fr"], ["--html", "x.pdf"], ["--list", "--json"], ["--list", "--html", "x.html"]],
)
def test_wrong_option_is_status_2(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, ["lessons", *arguments])
    assert shown.exit_code == 2
    assert shown.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("send", "number"),
    [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)],
    ids=["Ctrl-C, to the whole group as from a keyboard", "SIGTERM, as from kill"],
)
def test_interrupt_ends_it_in_one_line(
    tmp_path: Path, send: Callable[[int, signal.Signals], None], number: signal.Signals
) -> None:
    program = (
        "import sys\n"
        "from headwater.lessons import engine\n"
        "before = engine._side_by_side\n"
        "def told(*given):\n"
        "    print('running', file=sys.stderr, flush=True)\n"
        "    return before(*given)\n"
        "if __name__ == '__main__':\n"
        "    engine._side_by_side = told\n"
        "    from headwater.cli.main import main\n"
        "    main()\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "program.py", "lessons", "vanishing", QUICK, "--processes", "2"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "running\n"
        time.sleep(0.5)
        send(process.pid, number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (output, errors) == ("", "Interrupted.\n")


def test_help_says_what_the_exit_status_means() -> None:
    shown = CliRunner().invoke(cli, ["lessons", "--help"])
    assert shown.exit_code == 0
    assert "Exit status: 0" in shown.output
