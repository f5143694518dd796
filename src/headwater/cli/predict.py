"""``headwater predict``: what to expect of an experiment's network before any data."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.options import html_option, json_option, language_option, traceback_option
from headwater.cli.saving import save_page
from headwater.cli.stdout import users_output_on_stderr, writing_report
from headwater.cli.target import running
from headwater.i18n import text, use_language

if TYPE_CHECKING:
    from headwater.report import Prediction


@click.command()
@click.argument("target")
@click.option(
    "--input-shape",
    metavar="3,32,32",
    help="Shape of one sample, without the batch; by default that of the experiment's first batch.",
)
@click.option("--measure", is_flag=True, help="Measure the same network on its first batch, to stand beside.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed for the model and the batches; by default left alone.")
@json_option
@html_option("Write the prediction to FILE too, as one HTML page that needs no network.")
@language_option
@traceback_option
def predict(
    target: str,
    input_shape: str | None,
    measure: bool,
    seed: int | None,
    as_json: bool,
    html: Path | None,
    language: str | None,
) -> None:
    """Say what to expect of a network before any data: how large signals and gradients are at each layer.

    TARGET is FILE.py:NAME or MODULE:NAME, where NAME is a headwater.Experiment or a function without arguments that
    returns one. Its code is run; what it prints goes to stderr.

    \b
    Examples:
      headwater predict train.py:experiment
      headwater predict train.py:experiment --input-shape 3,224,224
      headwater predict train.py:experiment --measure --html prediction.html

    Exit status: 0 done, 2 TARGET cannot be used or its network cannot be followed, 3 internal error.
    """
    with use_language(language):
        prediction = _predicted(target, _shape(input_shape), measure, seed)
        if html is not None:
            save_page(prediction, html, language)
            click.echo(text("cli.wrote", {"path": str(html)}), err=True)
        with writing_report():
            _show(prediction, as_json, language)


def _predicted(target: str, shape: tuple[int, ...] | None, measured: bool, seed: int | None) -> "Prediction":
    with users_output_on_stderr(), running(target) as experiment:
        from headwater import api  # after the target is known to be usable: this loads torch

        return api.predict(experiment, shape, measured=measured, seed=seed)


def _shape(given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    try:
        return tuple(int(size) for size in given.replace("x", ",").split(","))
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is no shape: write the sizes of one sample with commas, --input-shape 3,32,32"
        ) from None


def _show(prediction: "Prediction", as_json: bool, language: str | None) -> None:
    if as_json:
        click.echo(prediction.to_json(language))
        return
    from rich.console import Console

    prediction.render(Console(), language)
