"""headwater as it is: ``hw.check(experiment, steps=..., seed=...)``, and what its report puts first."""

from __future__ import annotations

import headwater as hw
from benchmarks.faults.diagnosers import Opinion
from headwater.report import Report


def diagnose(experiment: hw.Experiment, steps: int, seed: int) -> Opinion:
    """The finding of severity warning or worse that comes first."""
    return opinion_of(hw.check(experiment, steps=steps, seed=seed))


def opinion_of(report: Report) -> Opinion:
    """What a report puts first."""
    serious = [finding for finding in report.findings if finding.severity != "info"]
    if not serious:
        return Opinion(False, verdict=report.verdict, undecided=report.verdict == "cannot_tell")
    first = serious[0]
    cause = first.causes[0].id if first.causes else None
    told = ", ".join(dict.fromkeys(finding.symptom for finding in serious))
    return Opinion(True, first.symptom, cause, first.sites, told)
