"""``headwater bench``: run the benchmarks of the checkout one stands in."""

import subprocess
import sys
from pathlib import Path

import click

from headwater.cli.options import traceback_option
from headwater.records import InputError

# What stands in `benchmarks/` as a module or package of its own, with the line that the list shows.
BENCHMARKS = {
    "faults": "is the diagnosis right, and how many false alarms: every diagnoser on every program",
    "overhead": "what watching costs per training step, beside other tools",
    "kernels": "the statistics of a tensor beside one sum and eight reductions",
    "scaling": "cost over depth, width and batch",
    "memory": "what is kept in memory",
    "prediction": "what is expected of networks before any data, beside what is measured",
    "repairs": "how many of the faulty programs are repaired, beside a fixed recipe and chance",
    "abyss": "a thousand plain layers and ten thousand: what fails, what works, what fix finds",
    "healthy": "false alarms of the rules on the healthy cases of the tests",
}


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\n" + "\n".join(f"{name:11s} {line}" for name, line in BENCHMARKS.items()),
)
@click.argument("name", type=click.Choice(list(BENCHMARKS)), metavar="NAME")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF NAME]...")
@traceback_option
@click.pass_context
def bench(context: click.Context, name: str, options: tuple[str, ...]) -> None:
    """Run a benchmark of the checkout you stand in.

    Benchmarks are no part of the installed package: clone headwater's repository, install it from there
    (pip install -e ".[bench]") and run this inside. Options after NAME are the benchmark's own; NAME --help lists them.

    \b
    Examples:
      headwater bench faults --quick
      headwater bench faults --families mlp,cnn --seeds 3
      headwater bench faults --out docs/benchmarks

    Exit status: 0 done, 2 there is no checkout here or an option is wrong, otherwise the benchmark's own.
    """
    root = checkout(Path.cwd())
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], cwd=root)
    context.exit(done.returncode)


def checkout(start: Path) -> Path:
    """The folder of headwater's repository that ``start`` lies in.

    Raises:
        InputError: If it lies in none.
    """
    for folder in (start, *start.parents):
        if (folder / "benchmarks" / "options.py").is_file() and (folder / "src" / "headwater").is_dir():
            return folder
    raise InputError(
        f"{start} is in no checkout of headwater, and the benchmarks are no part of the installed package. "
        'Clone headwater\'s repository, install it from there with pip install -e ".[bench]", and run '
        "headwater bench inside."
    )
