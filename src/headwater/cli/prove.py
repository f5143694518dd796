"""``headwater prove``: does a repair help? Trained beside the original, a placebo and a random remedy, over seeds."""

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.again import experiment_of
from headwater.cli.exit_codes import PROOF_EXIT_CODES, ExitCode
from headwater.cli.keeping import journal_file
from headwater.cli.options import (
    ProofOptions,
    engine_options,
    html_option,
    json_option,
    language_option,
    proof_options,
    traceback_option,
)
from headwater.cli.progress import progress_on_stderr
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cli.target import running
from headwater.cluster import Engine
from headwater.i18n import text, use_language

if TYPE_CHECKING:
    from headwater.records import Experiment, Proof
    from headwater.report import ProofReport


@click.command()
@click.argument("target")
@click.argument("remedies", nargs=-1, required=True, metavar="REMEDY...")
@proof_options
@engine_options
@json_option
@html_option("Write the proof to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
@click.pass_context
def prove(
    context: click.Context,
    target: str,
    remedies: tuple[str, ...],
    proof: ProofOptions,
    engine: Engine,
    address: str | None,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Put a repair to the proof: does it help, beyond chance and beyond a better learning rate?

    TARGET is FILE.py:NAME or MODULE:NAME of a headwater.Experiment, or of a function that returns one. Each REMEDY is
    an id such as init.he or regularisation.l2:0.01; several are applied in this order. Nothing is written into FILE.

    The repaired network trains beside the original, an unchanged placebo and a random remedy, on the same data; every
    side tries the same learning rates first.

    \b
    Examples:
      headwater prove train.py:experiment activation.relu init.he
      headwater prove train.py:experiment regularisation.l2:0.01 --seeds 8 --steps 500
      headwater prove train.py:experiment init.he --json --resume

    Exit status: 0 proven, 1 not proven or harmful, 2 TARGET or REMEDY cannot be used, 3 internal error,
    130 interrupted: what was finished is shown and kept for --resume.
    """
    with use_language(language):
        report, stopped = _proved(target, remedies, proof, engine, address)
        if report is not None:
            if html is not None:
                save_page(report, html, language)
                click.echo(text("cli.wrote", {"path": str(html)}), err=True)
            with writing_report():
                _show(report, as_json, language)
        if stopped:
            click.echo(text("cli.resume_hint"), err=True)
            context.exit(ExitCode.INTERRUPTED)
        assert report is not None
    context.exit(PROOF_EXIT_CODES[report.proof.verdict])


def _proved(
    target: str, remedies: tuple[str, ...], options: ProofOptions, engine: Engine, address: str | None
) -> "tuple[ProofReport | None, bool]":
    """The proof, and whether it was interrupted; ``None`` where it was before two seeds were done."""
    started = time.perf_counter()
    seeds, steps = options.seeds, options.steps
    with users_output_on_stderr(), running(target) as experiment:
        from headwater import api
        from headwater.remedies.proof import Interrupted, checked_remedies

        checked_remedies(remedies)  # an unknown one is told before anything is made or kept
        journal = journal_file("prove", (target, *remedies, seeds, steps), options.resume)
        source = partial(experiment_of, target, os.getcwd())
        try:
            with progress_on_stderr() as progress:
                proof = api.prove(
                    experiment,
                    remedies,
                    seeds,
                    steps,
                    progress,
                    jobs=options.jobs,
                    source=source,
                    journal=journal,
                    engine=engine,
                    address=address,
                )
        except Interrupted as interrupted:
            found: Proof | None = interrupted.found
            return (None if found is None else _report(experiment, found, started)), True
        return _report(experiment, proof, started), False


def _report(experiment: "Experiment", proof: "Proof", started: float) -> "ProofReport":
    from headwater.judging import run_info
    from headwater.report import ProofReport

    return ProofReport(proof, run_info(experiment.model(), None, time.perf_counter() - started))


def _show(report: "ProofReport", as_json: bool, language: str | None) -> None:
    if as_json:
        click.echo(report.to_json(language))
        return
    from rich.console import Console

    report.render(Console(), language)
