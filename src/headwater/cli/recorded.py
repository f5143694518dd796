"""What the commands about recorded runs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.stdout import writing_report
from headwater.records import InputError

if TYPE_CHECKING:
    from headwater.recorded import Run


def run_argument(name: str) -> Callable[[Any], Any]:
    """The folder of a run; whether it is one is found out when it is opened."""
    return click.argument(name, type=click.Path(path_type=Path))


def opened(path: Path, rank: int | None) -> Run:
    """A recorded training.

    Raises:
        InputError: If it is none, or a sweep, of which there is no step to look at.
    """
    from headwater.recorded import open_run
    from headwater.recorded.listing import trainings_of

    run = open_run(path, rank)
    trainings = trainings_of(run)
    if trainings is not None:
        raise InputError(
            f"{path} is a sweep of {trainings} trainings, of which no single steps are kept: "
            "`headwater sweep SPEC.toml` shows its maps."
        )
    return run


def show(record: Any, as_json: bool, language: str | None) -> None:
    """Print a record on stdout."""
    from headwater.recorded import faces

    with writing_report():
        if as_json:
            click.echo(faces.to_json(record, language))
            return
        from rich.console import Console

        faces.render(record, Console(), language)
