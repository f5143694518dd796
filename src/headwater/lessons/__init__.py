"""The claims of the lectures, each run for real: :func:`run` one lesson or several.

What runs them is loaded when it is first used: naming the lessons needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headwater.lessons.registry import ORDER as ORDER
from headwater.lessons.registry import find as find
from headwater.lessons.registry import foreign as foreign
from headwater.lessons.registry import known as known

if TYPE_CHECKING:
    from headwater.lessons.engine import run as run
    from headwater.lessons.engine import run_all as run_all


def __getattr__(name: str) -> Any:
    if name not in ("run", "run_all"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("headwater.lessons.engine"), name)
    return value
