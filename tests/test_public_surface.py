"""What people import is exactly what is promised, and every name says what it is for."""

import importlib.metadata
import inspect

import pytest

import headwater

PUBLIC = {
    "Budget",
    "Cause",
    "Cure",
    "Experiment",
    "Finding",
    "Flow",
    "InputError",
    "Moments",
    "Prediction",
    "Prescription",
    "Proof",
    "Report",
    "Run",
    "Trace",
    "__version__",
    "apply",
    "assert_healthy",
    "check",
    "fix",
    "open_run",
    "predict",
    "prescribe",
    "prove",
    "sweep",
    "trace",
    "watch",
}


def test_surface_is_exactly_what_is_promised() -> None:
    assert set(headwater.__all__) == PUBLIC
    assert set(dir(headwater)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(headwater, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_star_import_brings_the_same_names() -> None:
    namespace: dict[str, object] = {}
    exec("from headwater import *", namespace)
    assert set(namespace) - {"__builtins__"} == PUBLIC


def test_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'chekc'; it has .*check"):
        _ = headwater.chekc


def test_version_has_one_source() -> None:
    assert headwater.__version__ == importlib.metadata.version("headwater")
