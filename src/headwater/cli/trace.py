"""``headwater trace``: the chain rule of one gradient, factor by factor, checked against autograd."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.exit_codes import ExitCode
from headwater.cli.options import html_option, json_option, language_option, traceback_option
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cli.target import running
from headwater.i18n import text, use_language
from headwater.records.trace import RATE

if TYPE_CHECKING:
    from headwater.report import Trace

LONGEST = 1000  # layers of a chain: beyond, it is a minute's work to no one's good
LAYERS = 20  # of the lectures' chain


@click.command()
@click.argument("target", required=False)
@click.option("--parameter", metavar="NAME", help="The weight that is explained: 0.weight or 0.weight[0,1].")
@click.option(
    "--rate",
    type=float,
    default=RATE,
    show_default=True,
    help="α of the step w ← w − α ∂L/∂w that a small network shows.",
)
@click.option(
    "--chain",
    type=click.IntRange(1, LONGEST),
    metavar="N",
    help=f"Layers of the lectures' chain, one unit each.  [default: {LAYERS}]",
)
@click.option("--activation", metavar="NAME", help="Of the chain: sigmoid, tanh, relu, ...  [default: sigmoid]")
@click.option(
    "--init",
    type=click.Choice(["xavier", "he", "normal"]),
    help="Weights of the chain; normal is N(0, 0.01²).  [default: xavier]",
)
@click.option("--x", type=float, metavar="NUMBER", help="Input of the chain.  [default: 1]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed for weights and batches.  [default of a chain: 0]")
@json_option
@html_option("Write the trace to FILE too, as one HTML page with its picture that needs no network.")
@language_option
@traceback_option
@click.pass_context
def trace(
    context: click.Context,
    target: str | None,
    parameter: str | None,
    rate: float,
    chain: int | None,
    activation: str | None,
    init: str | None,
    x: float | None,
    seed: int | None,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Work out the chain rule for one weight: every factor with its number, checked against autograd.

    Without TARGET it is the lectures' chain: sigmoid layers of one unit each. TARGET is FILE.py:NAME or MODULE:NAME,
    where NAME is a headwater.Experiment or a function without arguments that returns one; its model, first batch and
    loss are taken. Its code is run; what it prints goes to stderr.

    \b
    Examples:
      headwater trace
      headwater trace --chain 50 --activation tanh --init he --html trace.html
      headwater trace train.py:experiment
      headwater trace train.py:experiment --parameter '2.weight[0,1]' --json

    Exit status: 0 done and every check agrees, 1 a check disagrees, 2 TARGET cannot be used, 3 internal error.
    """
    of_chain = {"--chain": chain, "--activation": activation, "--init": init, "--x": x}
    given = [f"{option} {value}" for option, value in of_chain.items() if value is not None]
    if target is not None and given:
        raise click.UsageError(
            f"{given[0]} is of the lectures' chain, which is traced where no target is named: "
            f"headwater trace {given[0]}, or headwater trace {target}"
        )
    with use_language(language):
        if target is not None:
            found = _of_target(target, parameter, rate, seed)
        else:
            found = _of_chain(chain, activation, init, x, parameter, rate, seed or 0)
        if html is not None:
            save_page(found, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            _show(found, as_json, language)
    context.exit(ExitCode.HEALTHY if found.holds else ExitCode.FINDINGS)


def _of_target(target: str, parameter: str | None, rate: float, seed: int | None) -> "Trace":
    with users_output_on_stderr(), running(target) as experiment:
        from headwater import api  # after the target is known to be usable: this loads torch

        return api.trace(experiment, parameter=parameter, rate=rate, seed=seed)


def _of_chain(
    layers: int | None,
    activation: str | None,
    init: str | None,
    x: float | None,
    parameter: str | None,
    rate: float,
    seed: int,
) -> "Trace":
    from headwater import api
    from headwater.tracing import scalar_chain

    model = scalar_chain(layers or LAYERS, activation or "sigmoid", init or "xavier", seed)
    return api.trace(model, 1.0 if x is None else x, parameter=parameter, rate=rate, seed=seed)


def _show(found: "Trace", as_json: bool, language: str | None) -> None:
    if as_json:
        click.echo(found.to_json(language))
        return
    from rich.console import Console

    found.render(Console(), language)
