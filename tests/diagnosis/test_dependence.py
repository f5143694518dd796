"""Labels that do not belong to their inputs: seen by the loss on exchanged pairs, however far it has fallen."""

from dataclasses import replace

import pytest
import torch

import headwater as hw
from headwater.demo import digits
from headwater.records import Finding
from headwater.report import terminal
from headwater.report.words import Words
from tests.diagnosis.test_symptoms import TRAINED, Batch, Run, batches, symptoms


def mixed_up() -> list[Batch]:
    """Digits whose labels are drawn anew each time, rare ones as rarely as ever."""
    return [(x, y[torch.randperm(len(y))]) for x, y in batches()]


def wrong_for_good() -> list[Batch]:
    x, y = digits()[0]
    x, y = x[:200], y[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    order = torch.randperm(200)
    return [(x[part], y[part]) for part in order.split(50)]


def finding_of(run: Run, symptom: str) -> Finding:
    report = run.check(0)
    assert symptom in symptoms(report), report.findings
    for language in ("en", "ko"):
        assert "_unrelated" not in terminal.plain(report, Words.of(language))
    return next(finding for finding in report.findings if finding.symptom == symptom)


@pytest.mark.parametrize("validated", [True, False])
def test_labels_that_change_all_the_time_are_never_learnt(validated: bool) -> None:
    run = replace(TRAINED, batches=mixed_up, validated=validated, steps=200)
    finding = finding_of(run, "underfitting")
    assert finding.causes[0].id == "capacity_or_label_noise"
    assert finding.evidence[0].statistic in ("pairing_explained" if validated else "pairing_deviations", "pairing_gain")


def test_wrong_labels_that_stay_are_learnt_by_heart() -> None:
    finding = finding_of(replace(TRAINED, batches=wrong_for_good, steps=120), "overfitting")
    assert finding.causes[0].id == "capacity_or_label_noise"


@pytest.mark.parametrize("seed", range(3))
def test_who_learns_is_seen_to(seed: int) -> None:
    report = TRAINED.check(seed)
    training = report.flow.training
    assert training is not None
    assert training.validation_dependence is not None
    assert report.verdict == "healthy"
    assert training.validation_dependence.exchanged > 1.5 * training.validation_dependence.loss


def test_records_of_a_check_keep_it() -> None:
    flow = TRAINED.check(0).flow
    assert hw.Flow.from_dict(flow.to_dict()).training == flow.training
