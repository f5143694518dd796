"""Nothing is ever wrong: no false alarm, and no use."""

from __future__ import annotations

from benchmarks.faults.diagnosers import FINE, Opinion
from headwater.records import Experiment


def diagnose(experiment: Experiment, steps: int, seed: int) -> Opinion:
    """Healthy."""
    return FINE
