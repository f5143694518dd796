"""``headwater sweep``: a training for each point of a grid, and maps of what came of them."""

import os
from functools import partial
from pathlib import Path

import click

from headwater.cli.again import function_of
from headwater.cli.exit_codes import ExitCode
from headwater.cli.options import engine_options, html_option, json_option, language_option, traceback_option
from headwater.cli.progress import progress_on_stderr
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cluster import Engine
from headwater.i18n import text, use_language


@click.command()
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC.toml")
@engine_options
@click.option("--jobs", type=click.IntRange(min=1), help="Processes of the local engine; one per processor by default.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default="runs",
    show_default=True,
    help="Folder that the sweep's own folder lies in.",
)
@json_option
@html_option("Write the maps to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
@click.pass_context
def sweep(
    context: click.Context,
    spec: Path,
    engine: Engine,
    jobs: int | None,
    address: str | None,
    runs: Path,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Train at each point of a grid, draw maps of it, and theory's line of what can be trained.

    SPEC.toml names the axes of the grid; what each training gave lies in RUNS/NAME as soon as it is done, and the same
    command goes on after an interruption. Without `experiment` the network is a plain one of the given depth and
    variance of the weights.

    \b
    Example of a file:
      steps = 300
      seeds = 2
      [axes]
      depth = [5, 10, 20, 40]
      sigma_w = { from = 0.5, to = 3.0, count = 11 }
      [fixed]
      activation = "tanh"

    \b
    Examples:
      headwater sweep edge.toml --html edge.html
      headwater sweep edge.toml --engine ray --address auto

    Exit status: 0 done, 2 the file or what it names cannot be used, 3 internal error, 130 interrupted: what was
    finished is shown and kept.
    """
    with use_language(language):
        with users_output_on_stderr():
            from headwater.report.sweep import SweepReport
            from headwater.sweeps.spec import PLAIN_NETWORK, read_spec
            from headwater.sweeps.sweeping import Interrupted, swept

            read, stopped = read_spec(spec), False
            own = read.experiment != PLAIN_NETWORK
            source = partial(function_of, read.experiment, read.folder) if own else None
            try:
                with progress_on_stderr() as progress:
                    folder = os.getcwd()
                    found = swept(
                        read,
                        source,
                        runs=os.path.join(folder, runs),
                        engine=engine,
                        jobs=jobs,
                        address=address,
                        progress=progress,
                    )
            except Interrupted as interrupted:
                found, stopped = interrupted.found, True
        report = SweepReport(found)
        if html is not None:
            save_page(report, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            if as_json:
                click.echo(report.to_json(language))
            else:
                from rich.console import Console

                report.render(Console(), language)
        if stopped:
            click.echo(text("cli.sweep_hint"), err=True)
            context.exit(ExitCode.INTERRUPTED)
