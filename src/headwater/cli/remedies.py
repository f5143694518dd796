"""``headwater remedies``: every change that ``apply`` and ``prove`` can make, or one of them explained."""

from typing import TYPE_CHECKING

import click

from headwater.cli.options import json_option, language_option, traceback_option
from headwater.cli.stdout import writing_report
from headwater.i18n import use_language

if TYPE_CHECKING:
    from headwater.remedies.explained import Explanation


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@json_option
@language_option
@traceback_option
def remedies(ids: tuple[str, ...], as_json: bool, language: str | None) -> None:
    """List the remedies, or explain those named: what each does, when it applies, when it is wrong, cost and source.

    \b
    Examples:
      headwater remedies
      headwater remedies init.mirrored
      headwater remedies structure.rezero structure.prenorm
      headwater remedies --json

    Exit status: 0 done, 2 no such remedy, 3 internal error.
    """
    from headwater.remedies.explained import all_explained, explained  # loads torch

    found = tuple(map(explained, ids)) if ids else all_explained()
    with use_language(language), writing_report():
        _show(found, as_json, language, in_full=bool(ids))


def _show(found: "tuple[Explanation, ...]", as_json: bool, language: str | None, in_full: bool) -> None:
    from headwater.report import remedies as page

    if as_json:
        click.echo(page.to_json(found, language))
        return
    from rich.console import Console

    page.render(found, Console(), language, in_full)
