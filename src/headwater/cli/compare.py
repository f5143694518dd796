"""``headwater compare``: what tells two recorded runs apart."""

from pathlib import Path

import click

from headwater.cli.options import html_option, json_option, language_option, rank_option, traceback_option
from headwater.cli.recorded import opened, run_argument, show
from headwater.cli.saving import save_text
from headwater.i18n import text, use_language


@click.command()
@run_argument("a")
@run_argument("b")
@rank_option
@json_option
@html_option("Write both runs to FILE too, on one HTML page that needs no network, their maps one above the other.")
@language_option
@traceback_option
def compare(a: Path, b: Path, rank: int | None, as_json: bool, html: Path | None, language: str | None) -> None:
    """Compare two recorded runs: sites aligned, the renamed and missing ones listed, the largest differences in words.

    A and B are folders that hw.watch(model, optimizer, run=...) has recorded into.

    \b
    Examples:
      headwater compare runs/a runs/b
      headwater compare runs/a runs/b --json
      headwater compare runs/a runs/b --html both.html

    Exit status: 0 done, 2 A or B is no run, 3 internal error.
    """
    with use_language(language):
        from headwater.recorded.compare import compare as compared

        first, second = opened(a, rank), opened(b, rank)
        found = compared(first, second)
        if html is not None:
            from headwater.recorded.viewing import course_of, difference_of
            from headwater.report.view import offline_page

            courses = [course_of(first), course_of(second)]
            save_text(offline_page(courses, language, difference_of(first, second, found)), html)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        show(found, as_json, language)
