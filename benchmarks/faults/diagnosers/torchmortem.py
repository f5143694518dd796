"""``torchmortem.Autopsy`` with its defaults, as its quick start attaches it; the report's first finding."""

from __future__ import annotations

from torchmortem import Autopsy
from torchmortem.types import Severity

from benchmarks.faults.diagnosers import Opinion, alarm
from benchmarks.faults.training import Training
from headwater.records import Experiment

# The start of a finding's title, and our word for it.
TITLES = {
    "Vanishing gradients": "vanishing",
    "Exploding gradients": "exploding",
    "Gradient stalling": "vanishing",
    "Dead units": "dead_units",
    "Activation saturation": "saturation",
    "Rank collapse": "rank_collapse",
    "Update ratio too low": "lr_too_low",
    "Update ratio too high": "lr_too_high",
    "Training divergence": "lr_too_high",
    "Loss plateau": "underfitting",
    "High gradient noise": "oscillation",
    "Weight norm explosion": "lr_too_high",
}


def diagnose(experiment: Experiment, steps: int, seed: int) -> Opinion:
    """Its findings come worst first."""
    training = Training(experiment, seed)
    with Autopsy(training.model, optimizer=training.optimizer) as autopsy:
        for loss in training.steps(steps):
            autopsy.step(loss=loss)
    report = autopsy.get_report()
    assert report is not None
    serious = [finding for finding in report.findings if finding.severity >= Severity.WARNING]
    if not serious:
        return Opinion(False, verdict="no finding of severity warning")
    titles = "; ".join(finding.title for finding in serious[:5])
    symptom = next((ours for start, ours in TITLES.items() if serious[0].title.startswith(start)), None)
    if symptom is None:
        return Opinion(True, verdict=titles)
    return alarm(symptom, tuple(serious[0].affected_layers), titles)
