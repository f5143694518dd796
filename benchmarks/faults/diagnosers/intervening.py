"""headwater with the causes put to the test: ``hw.check(experiment, steps=..., seed=..., intervene=...)``."""

from __future__ import annotations

import headwater as hw
from benchmarks.faults.diagnosers import Opinion
from benchmarks.faults.diagnosers.headwater import opinion_of

BUDGET = hw.Budget(repeats=2, seconds=30)


def diagnose(experiment: hw.Experiment, steps: int, seed: int) -> Opinion:
    """The finding that comes first, with the cause that restores it if there is one."""
    return opinion_of(hw.check(experiment, steps=steps, seed=seed, intervene=BUDGET))
