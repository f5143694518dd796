"""``headwater compare``: what tells two recorded runs apart."""

from pathlib import Path

import click

from headwater.cli.options import json_option, language_option, traceback_option
from headwater.cli.recorded import run_argument, show
from headwater.i18n import use_language


@click.command()
@run_argument("a")
@run_argument("b")
@json_option
@language_option
@traceback_option
def compare(a: Path, b: Path, as_json: bool, language: str | None) -> None:
    """Compare two recorded runs: sites aligned, the renamed and missing ones listed, the largest differences in words.

    A and B are folders that hw.watch(model, optimizer, run=...) has recorded into.

    \b
    Examples:
      headwater compare runs/a runs/b
      headwater compare runs/a runs/b --json

    Exit status: 0 done, 2 A or B is no run, 3 internal error.
    """
    with use_language(language):
        from headwater.recorded import open_run
        from headwater.recorded.compare import compare as compared

        show(compared(open_run(a), open_run(b)), as_json, language)
