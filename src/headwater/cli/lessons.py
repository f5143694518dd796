"""``headwater lessons``: the claims of the lectures, run for real, with the numbers that had to hold."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater import __version__
from headwater.cli.exit_codes import ExitCode
from headwater.cli.options import html_option, json_option, language_option, traceback_option
from headwater.cli.progress import progress_on_stderr
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.i18n import has_text, text, use_language

if TYPE_CHECKING:
    from headwater.report.lessons import LessonsReport


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--list", "only_list", is_flag=True, help="List ids and titles; run nothing.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run so many lessons side by side; by default one per processor.",
)
@json_option
@html_option("Write the lessons to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
@click.pass_context
def lessons(
    context: click.Context,
    ids: tuple[str, ...],
    only_list: bool,
    processes: int | None,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Run the claims of the lectures: each is an experiment with numbers that have to hold.

    Without an ID all of them are run and shown as a table; a lesson asked for by its ID is shown in full.

    \b
    Examples:
      headwater lessons --list
      headwater lessons vanishing xavier
      headwater lessons --html lessons.html
      headwater lessons he --json

    Exit status: 0 all claims hold, 1 some do not, 2 no such lesson or a wrong option, 3 internal error.
    """
    if only_list and (as_json or html is not None):
        raise click.UsageError("--list runs nothing, so there is nothing for --json or --html: leave one of them out.")
    with use_language(language):
        if only_list:
            with writing_report():
                _list(ids)
            return
        report = _run(ids, processes)
        if html is not None:
            save_page(report, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            _show(report, as_json, language, in_full=bool(ids))
    context.exit(ExitCode.HEALTHY if report.holds else ExitCode.FINDINGS)


def _run(ids: tuple[str, ...], processes: int | None) -> "LessonsReport":
    with users_output_on_stderr():
        import torch

        from headwater.lessons import run_all
        from headwater.report.lessons import LessonsReport

        started = time.perf_counter()
        with progress_on_stderr() as progress:
            results = run_all(ids, processes, progress)
    return LessonsReport(
        results=results,
        headwater=__version__,
        torch=torch.__version__,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        wall_time_s=time.perf_counter() - started,
    )


def _list(ids: tuple[str, ...]) -> None:
    from rich.console import Console

    from headwater.lessons import ORDER, foreign, known
    from headwater.report.lessons_terminal import listed
    from headwater.report.lines import print_lines

    console = Console()
    named = [(known(lesson_id), _title(lesson_id)) for lesson_id in ids or (*ORDER, *foreign())]
    print_lines(listed(named, console.width), console)


def _title(lesson_id: str) -> str:
    """A plugin may have forgotten its own."""
    id_ = f"lesson.{lesson_id}.title"
    return text(id_) if has_text(id_) else lesson_id


def _show(report: "LessonsReport", as_json: bool, language: str | None, in_full: bool) -> None:
    if as_json:
        click.echo(report.to_json(language))
        return
    from rich.console import Console

    report.render(Console(), language, in_full)
