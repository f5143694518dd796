"""What only several ranks reveal is found where it is there, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

import headwater as hw
from headwater.diagnosis.ranks import RANK_RULES
from headwater.i18n import use_language
from headwater.records import Finding
from tests.distributed.conftest import TASKS, Trainings

pytestmark = pytest.mark.timeout(900)  # the first test of all waits for the trainings of every rank

SYMPTOMS = {rule.symptom for rule in RANK_RULES}

# Which cause each symptom has, the runs that fail, and what the sentence says.
FAILING: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "same_data": ("same-data", "data_not_split", ("Ranks 0, 1", "12 steps")),
    "not_synchronised": ("unwrapped", "no_averaging", ("ranks 0 and 1", "from step 1 on")),
    "rank_data": ("unscaled", "data_scale", ("rank 2", "ranks 0, 1, 3")),
    "batchnorm_per_rank": ("batchnorm", "normalization_misuse", ("4 samples", "of 8 that 2 ranks have")),
    "uneven_steps": ("uneven", "uneven_data", ("Ranks 1", "9 steps", "12")),
    "rank_models": ("other-model", "different_models", ("Ranks 0 and 1", "inner.weight")),
}
ALSO = {"unscaled": {"unscaled"}, "other-model": {"not_synchronised"}}
HEALTHY = ["ddp", "ddp-accumulated", "fsdp", "fsdp-mixed", "ddp-4", "fsdp-4", "hsdp-4", "batchnorm-wide"]


def found(trainings: Trainings, name: str) -> dict[str, Finding]:
    report = hw.open_run(trainings.run(name)).report()
    assert set(report.diagnosis.checked) >= SYMPTOMS
    return {finding.symptom: finding for finding in report.findings if finding.symptom in SYMPTOMS}


def test_every_rule_has_a_failing_run_and_one_that_is_healthy() -> None:
    assert set(FAILING) == SYMPTOMS
    known = {name for tasks in TASKS.values() for name in tasks}
    assert known >= {name for name, *_ in FAILING.values()} | set(HEALTHY)


@pytest.mark.parametrize("symptom", FAILING)
def test_rule_finds_what_is_there(trainings: Trainings, symptom: str) -> None:
    name, cause, words = FAILING[symptom]
    findings = found(trainings, name)
    assert symptom in findings, findings.keys()
    finding = findings[symptom]
    assert [c.id for c in finding.causes] == [cause]
    assert all(word in str(finding.message) for word in words), str(finding.message)
    assert finding.prescriptions
    assert finding.prescriptions[0].code
    others = findings.keys() - {symptom} - ALSO.get(name, set())
    assert not others


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_training_has_none_of_them(trainings: Trainings, name: str) -> None:
    assert not found(trainings, name)


def test_rank_without_a_batch_is_named(trainings: Trainings) -> None:
    run: Any = hw.open_run(trainings.run("idle"))
    finding = found(trainings, "idle")["uneven_steps"]
    assert "Ranks 1 have not taken a single measured step" in str(finding.message)
    assert finding.severity == "critical"
    assert run.report().verdict == "findings"


@pytest.mark.parametrize("symptom", FAILING)
def test_findings_speak_both_languages(trainings: Trainings, symptom: str) -> None:
    finding = found(trainings, FAILING[symptom][0])[symptom]
    messages = [finding.message, finding.causes[0].why, finding.prescriptions[0].why]
    with use_language("ko"):
        korean = [str(message) for message in messages]
    assert all(any("가" <= letter <= "힣" for letter in text) for text in korean)
    assert not any("{" in text for text in korean)
