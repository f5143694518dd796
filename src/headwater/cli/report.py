"""``headwater report``: one offline page of a recorded run, or of a report saved as JSON."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.options import json_option, language_option, rank_option, traceback_option
from headwater.cli.recorded import opened
from headwater.cli.saving import save_page, save_text, why_not_writable
from headwater.cli.stdout import writing_report
from headwater.i18n import text, use_language
from headwater.records import InputError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The page; by default report.html.",
)
@rank_option
@json_option
@language_option
@traceback_option
def report(run: Path, output: Path | None, rank: int | None, as_json: bool, language: str | None) -> None:
    """Write one HTML file to send: a recorded run step by step, or a single check.

    RUN is the folder that hw.watch recorded into, or a report that was saved as JSON. The file opens without a network.
    With --json the view of the run is printed instead, and a page written only with -o.

    \b
    Examples:
      headwater report runs/a -o a.html
      headwater report report.json -o check.html
      headwater report runs/a --json

    Exit status: 0 written, 2 RUN or the file cannot be used, 3 internal error.
    """
    with use_language(language):
        target = output or (None if as_json else Path("report.html"))
        if target is not None:
            _require_writable(target)
        if run.is_file():
            data = _of_saved(run, target, language, as_json)
        else:
            data = _of_run(run, target, language, as_json, rank)
        if target is not None:
            click.echo(text("cli.wrote", {"path": str(target)}), err=True)
        if as_json:
            with writing_report():
                click.echo(data)


def _require_writable(target: Path) -> None:
    if target.suffix != ".html":
        raise InputError(f"a page ends in .html: -o {target.with_suffix('.html')}")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}: make it first, or write to -o {target.name}")
    if reason := why_not_writable(target):
        raise InputError(reason)


def _of_saved(path: Path, target: Path | None, language: str | None, as_json: bool) -> str:
    from headwater.report import Report

    found = Report.load(path)
    if target is not None:
        save_page(found, target, language)
    return found.to_json(language) if as_json else ""


def _of_run(path: Path, target: Path | None, language: str | None, as_json: bool, rank: int | None) -> str:
    from headwater.recorded.viewing import course_of
    from headwater.report.files import strict_json
    from headwater.report.view import offline_page, view_of

    course = course_of(opened(path, rank))
    if target is not None:
        save_text(offline_page([course], language), target)
    return strict_json(view_of(course).to_dict()) if as_json else ""
