"""How often does a healthy program raise a finding, and how near does it come to a threshold?

    python -m benchmarks.healthy

Every healthy case of ``tests/cases.py`` over 6 seeds, at the start and after 5 steps of Adam or SGD. Prints the runs,
those with a finding of severity warning or worse, and the extremes of what the thresholds of docs/thresholds.md are
held against.
"""

import sys
from pathlib import Path

import torch

import headwater as hw
from headwater.diagnosis.waterfall import norm_decades

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.cases import HEALTHY, Case

SEEDS = range(6)
EVALUATING = "cnn-batchnorm-eval"  # trained so, it divides by statistics that nobody has gathered: that is a finding
SPARSE = {case_id for case_id in HEALTHY if "sparse" in case_id}  # Adam takes no sparse gradients
OPTIMIZERS = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
}


def main() -> None:
    """Run everything; about two minutes on one thread."""
    torch.set_num_threads(1)
    reports = [
        (f"{case.id}, seed {seed}, {name}, after {steps} steps", checked(case, seed, name, steps))
        for case in HEALTHY.values()
        for seed in SEEDS
        for name in OPTIMIZERS
        for steps in (0, 5)
        if not (case.id in SPARSE and name == "Adam") and not (case.id == EVALUATING and steps)
    ]
    alarmed = [(label, report) for label, report in reports if report.verdict == "findings"]
    print(f"{len(HEALTHY)} healthy programs, {len(reports)} runs, {len(alarmed)} with a warning or worse")
    for label, report in alarmed:
        print(f"  {label}: {[f.symptom for f in report.findings]}")
    decades = [norm_decades(report.flow.path) for _, report in reports if report.flow.path]
    dead = [row.dead_fraction for _, report in reports for row in report.flow.sites if row.dead_fraction is not None]
    print(f"decades of gradient norm, first layer over last: {min(decades):.2f} to {max(decades):.2f}")
    print(f"largest dead share of a layer: {max(dead):.2f}")


def checked(case: Case, seed: int, optimizer: str, steps: int) -> hw.Report:
    """One run, as a user would start it."""
    experiment = hw.Experiment(
        model=case.model, batches=lambda: [case.batch()], loss=case.loss, optimizer=OPTIMIZERS[optimizer]
    )
    return hw.check(experiment, seed=seed, steps=steps)


if __name__ == "__main__":
    main()
