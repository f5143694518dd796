"""``headwater why``: where a recorded training broke."""

from pathlib import Path

import click

from headwater.cli.exit_codes import ExitCode
from headwater.cli.options import json_option, language_option, rank_option, traceback_option
from headwater.cli.recorded import opened, run_argument, show
from headwater.i18n import use_language


@click.command()
@run_argument("run")
@rank_option
@json_option
@language_option
@traceback_option
@click.pass_context
def why(context: click.Context, run: Path, rank: int | None, as_json: bool, language: str | None) -> None:
    """Say where a recorded training broke: the first tensor with NaN or Inf, or that exploded, and what made it.

    RUN is a folder that hw.watch(model, optimizer, run=...) has recorded into. It may still be written to, and works
    after a crash or a kill as well. Nothing is run and nothing is changed.

    \b
    Examples:
      headwater why runs/a
      headwater why runs/a --json
      headwater why runs/a --rank 2

    Exit status: 0 nothing broke, 1 something did, or nothing or not all can be read, 2 RUN is no run, 3 internal error.
    """
    with use_language(language):
        from headwater.recorded.why import why as explain

        found = explain(opened(run, rank))
        show(found, as_json, language)
    context.exit(ExitCode.HEALTHY if found.verdict == "nothing_found" else ExitCode.FINDINGS)
