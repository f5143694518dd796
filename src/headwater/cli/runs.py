"""``headwater runs``: the recorded runs of a folder."""

from pathlib import Path

import click

from headwater.cli.options import json_option, language_option, traceback_option
from headwater.cli.progress import progress_on_stderr
from headwater.cli.recorded import show
from headwater.i18n import use_language


@click.command()
@click.argument("folder", metavar="[DIR]", default="runs", type=click.Path(path_type=Path))
@json_option
@language_option
@traceback_option
def runs(folder: Path, as_json: bool, language: str | None) -> None:
    """List the recorded runs of a folder: verdict, state, steps, last loss, alarms and size on disk, newest first.

    \b
    Examples:
      headwater runs
      headwater runs /scratch/runs --json

    Exit status: 0 done, 2 DIR is no folder, 3 internal error.
    """
    with use_language(language):
        from headwater.recorded.listing import listed

        with progress_on_stderr() as progress:
            found = listed(folder, progress)
        show(found, as_json, language)
