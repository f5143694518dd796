"""The claims of the lectures, each run for real: :func:`run` one lesson or several."""

from headwater.lessons.engine import run as run
from headwater.lessons.engine import run_all as run_all
from headwater.lessons.registry import ORDER as ORDER
from headwater.lessons.registry import find as find
