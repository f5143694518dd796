"""Odd models, optimizers, losses and data: an intervention changes what it says it changes, or says that it cannot."""

from __future__ import annotations

import torch

import headwater as hw
from headwater.records import Intervention
from tests.diagnosis.test_symptoms import Run, network
from tests.intervening.test_interventions import finding_of, tried

SHORT = hw.Budget(steps=12, repeats=2)


def answer(run: Run, symptom: str, change: str, budget: hw.Budget = SHORT) -> Intervention:
    return tried(finding_of(run.check(0, intervene=budget), symptom), change)


def test_lbfgs_moves_the_parameters_it_is_given_in_place_of_others() -> None:
    run = Run(optimizer=lambda parameters: torch.optim.LBFGS(network().parameters(), lr=0.1, max_iter=2))
    assert answer(run, "not_updating", "all_parameters").gone == 2
