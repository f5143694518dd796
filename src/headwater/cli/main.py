"""The ``headwater`` command: finds commands when they are asked for, and turns every ending into an exit status."""

import signal
import sys
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from headwater import __version__
from headwater.cli.exit_codes import ExitCode
from headwater.cli.options import wants_traceback
from headwater.cli.stdout import end_stdout
from headwater.plugins import PluginWarning
from headwater.records import InputError

# A command is the object of the same name in its module. The modules import torch only inside their functions.
COMMANDS = {
    "bench": "headwater.cli.bench",
    "check": "headwater.cli.check",
    "compare": "headwater.cli.compare",
    "demo": "headwater.cli.demo",
    "export": "headwater.cli.export",
    "fix": "headwater.cli.fix",
    "lab": "headwater.cli.lab",
    "predict": "headwater.cli.predict",
    "prove": "headwater.cli.prove",
    "remedies": "headwater.cli.remedies",
    "trace": "headwater.cli.trace",
    "watch": "headwater.cli.watch",
    "report": "headwater.cli.report",
    "sweep": "headwater.cli.sweep",
    "lessons": "headwater.cli.lessons",
    "runs": "headwater.cli.runs",
    "why": "headwater.cli.why",
}


class Commands(click.Group):
    """Imports a command on first use; errors leave as one message and the status ``exit_codes.py`` gives them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own endings
        except InputError as error:
            _show(f"Error: {error}", error.__cause__ if wants_traceback(ctx) else None)
            ctx.exit(ExitCode.USAGE)
        except KeyboardInterrupt:
            _show("Interrupted.")
            ctx.exit(ExitCode.INTERRUPTED)
        except Exception as error:
            summary = traceback.format_exception_only(error)[-1].strip()
            _show(f"Internal error in headwater {__version__}: {summary}", error if wants_traceback(ctx) else None)
            if not wants_traceback(ctx):
                _show("Run it again with --traceback to see where.")
            ctx.exit(ExitCode.INTERNAL)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headwater")
def cli() -> None:
    """Follow the gradient back to its source: what kills it, why, and a repair that is proven.

    \b
    Exit status: 0 healthy or done, 1 findings or no verdict possible,
    2 the command line or what it names cannot be used, 3 internal error.
    """


def main() -> None:
    """Entry point of the ``headwater`` script."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` and `timeout` end it as Ctrl-C does
    _tell_of_plugins_in_one_line()
    try:
        cli(prog_name="headwater")
    except OSError as error:  # click's own lines, as of --help, find no room; or an error could not be told on stderr
        with suppress(OSError):
            _show(f"Error: cannot write the output: {error.strerror or error}.")
        sys.exit(ExitCode.USAGE)
    finally:
        end_stdout()


def _tell_of_plugins_in_one_line() -> None:
    """Where in our code a plugin was left out is of no interest to who uses it."""
    show = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *where: Any, **rest: Any) -> None:
        if issubclass(category, PluginWarning):
            _show(f"headwater: {message}")
        else:
            show(message, category, *where, **rest)

    warnings.showwarning = shown


def _show(message: str, error: BaseException | None = None) -> None:
    if error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(message, err=True)
