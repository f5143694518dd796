"""``headwater check``: measure one experiment and say what is wrong with it, and why."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from headwater.cli.exit_codes import VERDICT_EXIT_CODES, ExitCode
from headwater.cli.options import html_option, json_option, language_option, traceback_option
from headwater.cli.progress import progress_on_stderr
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cli.target import running
from headwater.i18n import text, use_language

if TYPE_CHECKING:
    from headwater.report import Report


@click.command()
@click.argument("target")
@click.option(
    "--steps", type=click.IntRange(min=0), default=0, help="Train a copy for so many steps first.", show_default=True
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed for the model and the batches; by default left alone.")
@click.option(
    "--sites",
    multiple=True,
    metavar="PATTERN",
    help="Measure only operations with such a name (encoder.*); may be given again.",
)
@click.option("--intervene", is_flag=True, help="Test the causes of what is found by short trainings, one change each.")
@click.option(
    "--branch-steps", type=click.IntRange(min=12), help="Steps of each such training; by default --steps, 30 to 100."
)
@click.option("--repeats", type=click.IntRange(min=2), default=3, help="Trainings of each change.", show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    help="What these trainings may take in all; what does not fit in is left out and told.",
    show_default=True,
)
@json_option
@html_option("Write the report to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
@click.pass_context
def check(
    context: click.Context,
    target: str,
    steps: int,
    seed: int | None,
    sites: tuple[str, ...],
    intervene: bool,
    branch_steps: int | None,
    repeats: int,
    seconds: float,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Measure one experiment: is it healthy, and if not, where, why and what to do.

    TARGET is FILE.py:NAME or MODULE:NAME, where NAME is a headwater.Experiment or a function without arguments that
    returns one. Its code is run; what it prints goes to stderr.

    \b
    Examples:
      headwater check train.py:experiment
      headwater check train.py:experiment --steps 50 --html report.html
      headwater check train.py:experiment --steps 50 --intervene --seed 0
      headwater check train.py:experiment --sites 'encoder.*' --sites head
      headwater check mypackage.training:experiment --json

    Exit status: 0 healthy, 1 findings or no verdict possible, 2 TARGET cannot be used, 3 internal error,
    130 interrupted: where causes were being tested, what was known by then is shown.
    """
    if not intervene:
        _refuse_budget(context)
    with use_language(language):
        budget = (branch_steps, repeats, seconds) if intervene else None
        report, stopped = _measured(target, steps, seed, sites, budget)
        if html is not None:
            save_page(report, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            _show(report, as_json, language)
        if stopped:
            click.echo(text("cli.interrupted"), err=True)
            context.exit(ExitCode.INTERRUPTED)
    context.exit(VERDICT_EXIT_CODES[report.verdict])


def _refuse_budget(context: click.Context) -> None:
    """Refuse settings of interventions where none are asked for."""
    for name in ("branch_steps", "repeats", "seconds"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} is about interventions: add --intervene.", context)


def _measured(
    target: str,
    steps: int,
    seed: int | None,
    sites: tuple[str, ...],
    budget: tuple[int | None, int, float] | None,
) -> "tuple[Report, bool]":
    """The report, and whether the test of its causes was interrupted."""
    with users_output_on_stderr(), running(target) as experiment:
        from headwater import api  # after the target is known to be usable: this loads torch
        from headwater.records import Budget
        from headwater.remedies.proof import Interrupted

        try:
            with progress_on_stderr() as progress:
                report = api.check(
                    experiment,
                    steps=steps,
                    seed=seed,
                    sites=list(sites) or None,
                    intervene=Budget(*budget) if budget else False,
                    progress=progress,
                )
        except Interrupted as interrupted:
            return interrupted.found, True
        return report, False


def _show(report: "Report", as_json: bool, language: str | None) -> None:
    if as_json:
        click.echo(report.to_json(language))
        return
    from rich.console import Console

    report.render(Console(), language)
