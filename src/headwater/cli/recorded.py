"""What the commands about recorded runs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headwater.cli.stdout import writing_report


def run_argument(name: str) -> Callable[[Any], Any]:
    """The folder of a run; whether it is one is found out when it is opened."""
    return click.argument(name, type=click.Path(path_type=Path))


def show(record: Any, as_json: bool, language: str | None) -> None:
    """Print a record on stdout."""
    from headwater.recorded import faces

    with writing_report():
        if as_json:
            click.echo(faces.to_json(record, language))
            return
        from rich.console import Console

        faces.render(record, Console(), language)
