"""The rule of thumb behind ``plot_grad_flow`` (PyTorch forum, thread 15063): early layers whose bar cannot be seen.

The plot shows the mean |gradient| of every weight that is no bias, zoomed to -0.001 … 0.02. In a figure of matplotlib's
default size the axes are 370 pixels high, so a bar below half a pixel is not there at all.
"""

from __future__ import annotations

from statistics import median

from benchmarks.faults.diagnosers import Opinion, alarm
from benchmarks.faults.training import Training
from benchmarks.peers.grad_flow import plot_grad_flow
from headwater.records import Experiment

ZOOM, PIXELS = 0.021, 370
INVISIBLE = ZOOM / PIXELS / 2
EXPLODING = 1.0  # fifty times the height of the plot


def diagnose(experiment: Experiment, steps: int, seed: int) -> Opinion:
    """What one sees in the plot after the last step."""
    training = Training(experiment, seed)
    for _ in training.steps(steps):
        pass
    means = [float(mean) for mean in plot_grad_flow(training.model)[0]]
    return opinion(means)


def opinion(means: list[float]) -> Opinion:
    """Of the bars, from the first layer to the last."""
    if not means:
        return Opinion(False, value=0.0)
    early = median(means[: (len(means) + 1) // 2])
    if not max(means) < EXPLODING:  # NaN too
        return alarm("exploding", verdict=f"largest mean {max(means):.1e}")
    if early < INVISIBLE:
        seen = alarm("vanishing", verdict=f"early layers {early:.1e}")
        return Opinion(True, seen.symptom, seen.cause, verdict=seen.verdict, value=early)
    return Opinion(False, value=early, verdict=f"early layers {early:.1e}")
