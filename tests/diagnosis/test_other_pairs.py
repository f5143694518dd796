"""Targets that hang on inputs in held-out data and not in what is trained on; and inputs that say nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from headwater.demo import digits
from headwater.diagnosis.dependence import do_not_belong, say_nothing
from headwater.records import Dependence, Pairing, Training
from headwater.report import terminal
from headwater.report.words import Words
from tests.diagnosis.test_symptoms import TRAINED, Batch, batches


def relabelled(share: float) -> list[Batch]:
    """Digits of whose labels a share was drawn anew, once and for all."""
    (x, y), _ = digits()
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(y), generator=generator) < share
    y = torch.where(wrong, torch.randint(10, y.shape, generator=generator), y)
    order = torch.randperm(len(y))
    return [(x[rows], y[rows]) for rows in order.split(64)[:-1]]


@pytest.mark.parametrize("share", [0.7, 1.0])
def test_wrong_labels_are_seen_long_before_they_are_learnt(share: float) -> None:
    report = replace(TRAINED, batches=lambda: relabelled(share), steps=20).check(0)
    first = report.findings[0]
    assert (first.symptom, first.severity, first.causes[0].id) == (
        "underfitting",
        "warning",
        "capacity_or_label_noise",
    )
    assert first.message.id == "finding.underfitting_not_theirs"
    for language in ("en", "ko"):
        assert "not_theirs" not in terminal.plain(report, Words.of(language))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_a_few_wrong_labels_are_no_reason_to_warn(share: float) -> None:
    report = replace(TRAINED, batches=lambda: relabelled(share), steps=20).check(0)
    assert report.verdict == "healthy", report.findings


def test_noise_on_the_inputs_is_no_reason_either() -> None:
    noisy = replace(TRAINED, batches=lambda: [(x + torch.randn_like(x), y) for x, y in batches()], steps=60)
    assert noisy.check(0).verdict == "healthy"


def test_inputs_that_are_all_alike_are_named() -> None:
    blank = replace(TRAINED, batches=lambda: [(torch.zeros_like(x), y) for x, y in batches()], steps=20)
    first = blank.check(0).findings[0]
    assert (first.symptom, first.message.id) == ("underfitting", "finding.underfitting_no_relation")


def training(seen: Pairing | None, unseen: Pairing | None, gain: float = 0.0) -> Training:
    found = Dependence(1.0 - gain, 1.0, 0.001)
    return Training(dependence=found, validation_dependence=found, pairing=seen, validation_pairing=unseen)


STRONG, WEAK, NONE = Pairing(256, 0.8, 39.0), Pairing(256, 0.1, 10.0), Pairing(256, -0.3, 0.5)


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"),
    [
        (STRONG, STRONG, False),
        (NONE, STRONG, True),
        (NONE, WEAK, True),
        (Pairing(256, 0.2, 12.0), STRONG, True),
        (Pairing(256, 0.45, 33.0), STRONG, False),
        (NONE, NONE, False),
        (STRONG, NONE, False),
        (None, STRONG, False),
        (Pairing(40, -0.3, 0.5), Pairing(40, 0.8, 15.0), False),
        (NONE, Pairing(256, 0.02, 5.0), False),
    ],
    ids=["alike", "none", "none of little", "half", "augmented", "no relation", "odd", "unknown", "few", "hardly"],
)
def test_pairs_are_others_only_where_both_kinds_of_data_say_so(
    seen: Pairing | None, unseen: Pairing | None, expected: bool
) -> None:
    assert do_not_belong(training(seen, unseen)) is expected


def test_a_network_that_finds_what_a_kernel_does_not_overrules_it() -> None:
    assert say_nothing(training(NONE, NONE, gain=0.02))
    assert not say_nothing(training(NONE, NONE, gain=0.2))
    assert not say_nothing(training(NONE, STRONG, gain=0.02))
    assert not say_nothing(training(Pairing(64, -0.3, 0.5), None, gain=0.02))


def test_scale_of_inputs_and_of_the_loss_change_nothing() -> None:
    def scaled(share: float, factor: float) -> Tensor:
        report = replace(
            TRAINED,
            batches=lambda: [(factor * x, y) for x, y in relabelled(share)],
            loss=lambda m, b: factor * TRAINED.loss(m, b),
            steps=12,
        ).check(0)
        assert report.flow.training is not None
        assert report.flow.training.pairing is not None
        return torch.tensor(report.flow.training.pairing.explained)

    torch.testing.assert_close(scaled(0.5, 1.0), scaled(0.5, 8.0), rtol=1e-4, atol=1e-4)
