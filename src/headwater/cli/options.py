"""Options that several commands share."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from headwater.cli.saving import why_not_writable
from headwater.i18n import LANGUAGES

Command = TypeVar("Command", bound=Callable[..., Any])

_TRACEBACK = "headwater.traceback"


def language_option(command: Command) -> Command:
    """``--lang``: the language of the report and of progress."""
    return click.option(
        "--lang",
        "language",
        type=click.Choice(LANGUAGES),
        help="Language of the report; by default HEADWATER_LANG, else the system's.",
    )(command)


@dataclass(frozen=True)
class ProofOptions:
    """How something is to be proven.

    Attributes:
        seeds: At most so many.
        steps: Optimizer steps of a run.
        jobs: Processes, ``None`` for one per processor.
        resume: Whether to go on where the same command was interrupted.
    """

    seeds: int
    steps: int
    jobs: int | None
    resume: bool


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--engine`` and ``--address``: who makes the trainings."""
    address = click.option(
        "--address", help="Of a Ray cluster, HOST:PORT or auto; without it one is started here and ended."
    )
    engine = click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Processes of this machine, or the workers of a Ray cluster.",
    )
    return engine(address(command))


def proof_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--seeds``, ``--steps``, ``--jobs`` and ``--resume``, as ``prove`` and ``fix`` take them: ``proof`` in one."""

    @wraps(command)
    def taking_one(*arguments: Any, seeds: int, steps: int, jobs: int | None, resume: bool, **others: Any) -> Any:
        return command(*arguments, proof=ProofOptions(seeds, steps, jobs, resume), **others)

    return _with_options(taking_one)


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option(
                "--seeds",
                type=click.IntRange(min=3),
                default=5,
                show_default=True,
                help="Seeds of the proof, at most: it stops earlier once the verdict is there.",
            ),
            click.option(
                "--steps", type=click.IntRange(min=10), default=200, show_default=True, help="Optimizer steps of a run."
            ),
            click.option(
                "--jobs", type=click.IntRange(min=1), help="Processes side by side; by default one per processor."
            ),
            click.option(
                "--resume", is_flag=True, help="Go on where the same command was interrupted or killed before."
            ),
        )
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """``--json``: the report as JSON, and nothing else, on stdout."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else, on stdout."
    )(command)


def rank_option(command: Command) -> Command:
    """``--rank``: one process of those that trained together, by itself."""
    return click.option(
        "--rank",
        type=click.IntRange(min=0),
        help="Only what this rank has recorded, of several that trained together; by default all of them as one.",
    )(command)


def html_option(help_text: str, default: str | None = None) -> Callable[[Command], Command]:
    """``--html FILE``: a page to write; refused before anything runs if it could not be written when it is done."""
    return click.option(
        "--html",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        default=default,
        show_default=default is not None,
        callback=_html_file,
        metavar="FILE",
        help=help_text,
    )


def traceback_option(command: Command) -> Command:
    """``--traceback``: kept in the context, where the group finds it once the command has failed."""
    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember_traceback,
        help="Show the whole traceback of an error.",
    )(command)


def wants_traceback(context: click.Context) -> bool:
    """Whether ``--traceback`` was given to the command run in ``context``."""
    return bool(context.meta.get(_TRACEBACK))


def _remember_traceback(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.meta[_TRACEBACK] = value


def _html_file(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse, before anything runs, a file that could not be written when it is done."""
    if path is None:
        return None
    if not path.name:  # `--html "$UNSET"`
        raise click.BadParameter("name a file: --html report.html")
    path = Path(os.path.expanduser(path))  # a shell leaves `--html=~/report.html` as it is
    if path.suffix != ".html":
        raise click.BadParameter(f"the name of an HTML report ends in .html: --html {path.with_suffix('.html')}")
    if not os.path.isdir(path.parent):
        raise click.BadParameter(f"there is no folder {path.parent}: make it first, or write to --html {path.name}")
    if reason := why_not_writable(path):
        raise click.BadParameter(reason)
    return path
