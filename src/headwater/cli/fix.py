"""``headwater fix``: from a program that trains badly to a change that is proven to help; written only if asked to."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli import in_file
from headwater.cli.again import experiment_of
from headwater.cli.exit_codes import PROOF_EXIT_CODES, ExitCode
from headwater.cli.keeping import journal_file
from headwater.cli.locating import existing_file
from headwater.cli.options import (
    ProofOptions,
    html_option,
    json_option,
    language_option,
    proof_options,
    traceback_option,
)
from headwater.cli.progress import standing_on_stderr
from headwater.cli.saving import save_page, why_not_writable
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cli.target import located, parse, running
from headwater.i18n import text, use_language
from headwater.records import InputError

if TYPE_CHECKING:
    from headwater.report import Cure


@click.command()
@click.argument("target")
@click.option("--write", is_flag=True, help="Write a proven change into FILE.py; a backup stands beside it.")
@click.option("--undo", is_flag=True, help="Take the last such change out of FILE.py; nothing is run.")
@click.option(
    "--budget-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="After so long begin nothing but what a verdict needs; by default no limit.",
)
@proof_options
@json_option
@html_option("Write the cure to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
@click.pass_context
def fix(
    context: click.Context,
    target: str,
    write: bool,
    undo: bool,
    budget_seconds: float | None,
    proof: ProofOptions,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Find out what is wrong, try what could help, prove the best of it, and show the change.

    TARGET is FILE.py:NAME or MODULE:NAME of a headwater.Experiment, or of a function that returns one. Its code is run;
    FILE is only changed with --write, and then FILE.py:NAME is the repaired experiment. The proof is over seeds that
    were not used to find the repair. Where nothing is proven, nothing is changed.

    \b
    Examples:
      headwater fix train.py:experiment
      headwater fix train.py:experiment --steps 500 --budget-seconds 300 --html cure.html
      headwater fix train.py:experiment --write
      headwater fix --undo train.py

    Exit status: 0 proven or nothing to fix, 1 not proven or harmful, 2 TARGET cannot be used, 3 internal error,
    130 interrupted: what was finished is shown and kept for --resume.
    """
    with use_language(language):
        if undo:
            _undo(context, target, write)
            return
        if write:
            _refuse_to_write(target)
        cure, stopped = _cured(target, budget_seconds, proof)
        if html is not None:
            save_page(cure, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            _show(cure, as_json, language)
        if stopped:
            click.echo(text("cli.resume_hint"), err=True)
            context.exit(ExitCode.INTERRUPTED)
        _apply(target, cure, write)
    context.exit(PROOF_EXIT_CODES[cure.verdict])


def _undo(context: click.Context, target: str, write: bool) -> None:
    if write:
        raise click.UsageError("--write puts a change in and --undo takes it out: leave one of them out.", context)
    path = existing_file(parse(target).location or target, "NAME")
    undone = in_file.undo(path)
    if undone.same:
        click.echo(text("cli.undone", {"path": str(path)}))
    else:
        click.echo(text("cli.undone_edited", {"path": str(path), "backup": str(undone.backup or "–")}))


def _refuse_to_write(target: str) -> None:
    """Refuse, before anything runs, where a change could not be written when it is found."""
    parsed, path = located(target)
    if not parsed.is_file:
        raise InputError(
            f"--write changes a file, and {parsed.location} is a module: headwater fix {path}:{parsed.name} --write."
        )
    reason = why_not_writable(path) or ("" if os.access(path, os.W_OK) else f"{path} is write-protected")
    if reason:
        raise InputError(f"--write: {reason}.")


def _cured(target: str, budget_seconds: float | None, proof: ProofOptions) -> "tuple[Cure, bool]":
    """The cure, and whether it was interrupted."""
    with users_output_on_stderr(), running(target) as experiment:
        from headwater import api
        from headwater.remedies.proof import Interrupted

        source = partial(experiment_of, target, os.getcwd())
        journal = journal_file("fix", (target, proof.seeds, proof.steps), proof.resume)
        try:
            with standing_on_stderr() as (progress, tell):
                cure = api.fix(
                    experiment,
                    seeds=proof.seeds,
                    steps=proof.steps,
                    budget_seconds=budget_seconds,
                    jobs=proof.jobs,
                    source=source,
                    journal=journal,
                    progress=progress,
                    tell=tell,
                )
        except Interrupted as interrupted:
            return interrupted.found, True
        return cure, False


def _show(cure: "Cure", as_json: bool, language: str | None) -> None:
    if as_json:
        click.echo(cure.to_json(language))
        return
    from rich.console import Console

    cure.render(Console(), language)
    if cure.patch:
        click.echo()
        click.secho(text("cure.change"), bold=True)
        click.echo(str(cure.where))
        click.echo()
        click.echo(cure.patch)


def _apply(target: str, cure: "Cure", write: bool) -> None:
    """Write the change if that was asked for, and say on stderr what became of the file."""
    parsed, path = located(target)
    if not cure.patch or not parsed.is_file:
        return
    if not write:
        click.echo(text("cli.not_applied", {"path": str(path)}), err=True)
        return
    added = in_file.block(parsed.name, cure.patch, " + ".join(cure.remedies), path.name)
    backup = in_file.write(path, parsed.name, added)
    click.echo(text("cli.applied", {"path": str(path), "backup": str(backup)}), err=True)
