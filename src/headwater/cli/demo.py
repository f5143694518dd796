"""``headwater demo``: the main job on built-in real data: check, explain, prescribe, prove, patch, report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.options import html_option, json_option, language_option, traceback_option
from headwater.cli.progress import Progress, progress_on_stderr
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.i18n import text, use_language

if TYPE_CHECKING:
    from headwater.records import Experiment, Prescription
    from headwater.report import Report

STEPS = 200


@click.command()
@click.option(
    "--seeds", type=click.IntRange(min=3), default=5, show_default=True, help="Seeds the repair is proved over."
)
@html_option("Where the report is written, as one HTML page that needs no network.", default="headwater-demo.html")
@json_option
@language_option
@traceback_option
def demo(seeds: int, html: Path, as_json: bool, language: str | None) -> None:
    """Diagnose a 30-layer sigmoid network on real handwritten digits, repair it, and prove the repair.

    The network is as PyTorch initialises it, the data are scikit-learn's digits. The repaired network trains beside
    the original, an unchanged placebo and a random remedy, over several seeds.

    Exit status: 0 done, 2 the command line cannot be used or scikit-learn is missing, 3 internal error.
    """
    with use_language(language):
        if not as_json:
            with writing_report():
                click.secho(text("demo.title"), bold=True)
        with users_output_on_stderr(), _one_thread(), progress_on_stderr() as progress:
            report, best = _checked_and_proved(seeds, progress)
        save_page(report, html, language)
        with writing_report():
            if as_json:
                click.echo(report.to_json(language))
            else:
                _show(report, best, html, language)


def _checked_and_proved(seeds: int, progress: Progress | None) -> "tuple[Report, Prescription]":
    from headwater import api
    from headwater.demo import experiment

    subject: Experiment = experiment()
    report = api.check(subject, seed=0)
    best = api.prescribe(report)[0]
    proof = api.prove(subject, best, seeds, STEPS, progress, jobs=None, source=experiment)
    return report.with_proof(proof), best


def _show(report: "Report", best: "Prescription", html: Path, language: str | None) -> None:
    from rich.console import Console

    report.render(Console(), language)
    click.echo()
    click.secho(text("demo.patch"), bold=True)
    click.echo()
    click.echo(best.code)
    click.echo(text("cli.wrote", {"path": str(html)}))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A deep narrow network spends its time starting operations; a second thread only adds to that."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
