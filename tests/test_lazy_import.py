"""``import headwater`` and ``headwater --help`` stay quick: they load nothing that is large."""

import resource
from pathlib import Path

import pytest

from tests.helpers import python, typed

LARGE = {
    "torch",
    "numpy",
    "scipy",
    "numba",
    "triton",
    "pandas",
    "sklearn",
    "matplotlib",
    "plotly",
    "starlette",
    "transformers",
    "ray",
    "rich",
}
LOADED = "import sys; print(' '.join({name.split('.')[0] for name in sys.modules}))"


@pytest.mark.parametrize(
    "code",
    [
        "import headwater",
        "import headwater; headwater.Experiment, headwater.Flow, headwater.InputError, dir(headwater)",
        "import headwater.cli.main, headwater.cli.check, headwater.cli.demo, headwater.cli.bench",
        "import headwater.cli.lessons, headwater.cli.predict, headwater.cli.trace",
    ],
)
def test_large_packages_are_not_loaded(code: str) -> None:
    loaded = set(python(f"{code}\n{LOADED}").split())
    assert "headwater" in loaded
    assert not loaded & LARGE


def test_check_loads_torch_when_it_is_used() -> None:
    assert "torch" in python(f"import headwater; headwater.check\n{LOADED}").split()


@pytest.mark.parametrize("name", ["check", "watch", "Report", "open_run"])
def test_what_is_loaded_later_draws_nothing_from_the_random_numbers_of_a_training(name: str) -> None:
    seeded = "import random, torch, numpy, headwater; random.seed(0); numpy.random.seed(0)"
    drawn = "print(random.random(), numpy.random.random())"
    assert python(f"{seeded}; headwater.{name}; {drawn}") == python(f"{seeded}; {drawn}")


def test_help_answers_within_three_tenths_of_a_second(tmp_path: Path) -> None:
    def seconds() -> float:
        """Processor time: what else the machine is doing is not the command's."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = typed("--help", cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) <= 0.3
