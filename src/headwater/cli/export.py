"""``headwater export``: a recorded run for other programs."""

import json
from pathlib import Path

import click

from headwater.cli.options import language_option, rank_option, traceback_option
from headwater.cli.progress import progress_on_stderr
from headwater.cli.recorded import run_argument
from headwater.cli.stdout import writing_report
from headwater.i18n import text, use_language

FORMATS = ("parquet", "csv", "jsonl", "tensorboard")


@click.command()
@run_argument("run")
@click.option("--to", "to", type=click.Choice(FORMATS), required=True, help="Which format.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write into.  [default: RUN's name and the format, here]",
)
@rank_option
@click.option("--json", "as_json", is_flag=True, help="Print which files were written as JSON, and nothing else.")
@language_option
@traceback_option
def export(run: Path, to: str, out: Path | None, rank: int | None, as_json: bool, language: str | None) -> None:
    """Write a recorded run as tables: sites, parameters, steps, scalars and events, or as events for TensorBoard.

    A run that has ended is Parquet already, which pandas, polars and DuckDB read where it lies
    (RUN/start-*/sites/*.parquet); this also covers one that was killed, and joins its process starts.

    \b
    Examples:
      headwater export runs/a --to csv --out tables
      headwater export runs/a --to tensorboard --out logs/a

    Exit status: 0 done, 2 RUN is no run or the folder cannot be written to, 3 internal error.
    """
    with use_language(language):
        from headwater.recorded import open_run
        from headwater.recorded.export import FORMATS
        from headwater.recorded.export import export as exported
        from headwater.recorded.why import damage_message
        from headwater.records import encode
        from headwater.report.names import clean

        opened = open_run(run, rank)
        folder = out if out is not None else Path(f"{run.resolve().name}-{to}")
        with progress_on_stderr() as progress:
            files = exported(opened, FORMATS[FORMATS.index(to)], folder, progress)
        with writing_report():
            if as_json:
                listed = [{"file": path.name, "bytes": path.stat().st_size} for path in files]
                damage = [encode(one) for one in opened.damage]
                click.echo(
                    json.dumps({"schema": "headwater/export/1", "format": to, "files": listed, "damage": damage})
                )
                return
            for path in files:
                click.echo(text("cli.wrote_file", {"path": str(path)}))
        for one in opened.damage:
            click.echo(f"{text('export.left_out')} {clean(str(damage_message(one)))}", err=True)
