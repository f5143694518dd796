"""What is tried where a training falls short and no rule says why, and what is said of it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.curing.suspects import suspects
from headwater.records import Experiment, Finding, Prescription, Score

PEOPLE, FILMS, RANK = 30, 20, 8


class Factors(nn.Module):
    """What people like, as a product of vectors."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.people, self.films = nn.Embedding(PEOPLE, RANK), nn.Embedding(FILMS, RANK)
        for part in (self.people, self.films):
            nn.init.normal_(part.weight, 0.0, spread)

    def forward(self, x: Tensor) -> Tensor:
        return (self.people(x[:, 0]) * self.films(x[:, 1])).sum(1)


def told(rows: Tensor) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(5)
    people, films = torch.randn(PEOPLE, 2, generator=chance), torch.randn(FILMS, 2, generator=chance)
    pairs = torch.cartesian_prod(torch.arange(PEOPLE), torch.arange(FILMS))[rows]
    return pairs, (people[pairs[:, 0]] * films[pairs[:, 1]]).sum(1)


ORDER = torch.randperm(PEOPLE * FILMS, generator=torch.Generator().manual_seed(3))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (model(batch[0]) - batch[1]).square().mean()


def explained(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return max(-1.0, 1.0 - float((model(x) - y).square().mean() / y.var()))


def factors(spread: float) -> Experiment:
    x, y = told(ORDER[:480])
    return Experiment(
        model=lambda: Factors(spread),
        batches=lambda: [(x[i : i + 48], y[i : i + 48]) for i in range(0, 480, 48)],
        loss=loss,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.02),
        validation=lambda: [told(ORDER[480:])],
        metric=explained,
    )


@pytest.fixture(scope="module")
def short() -> hw.Report:
    torch.set_num_threads(1)
    return hw.check(factors(10.0), steps=100, seed=0)


def with_metrics(report: hw.Report, metric: float | None) -> hw.Report:
    scores = tuple(
        replace(score, metric=metric, validation_metric=metric) if index else score
        for index, score in enumerate(report.flow.training.scores)
    )
    return replace(report, flow=replace(report.flow, training=replace(report.flow.training, scores=scores)))


def with_findings(report: hw.Report, *findings: Finding) -> hw.Report:
    return replace(report, diagnosis=replace(report.diagnosis, findings=findings))


def test_parts_that_are_often_drawn_wrongly_are_suspected_where_nothing_is_prescribed(short) -> None:
    assert not any(p.remedies for finding in short.findings for p in finding.prescriptions)
    assert suspects(short)[0] == ("init.embedding",)


def test_training_that_went_well_or_was_never_scored_has_no_suspects(short) -> None:
    assert isinstance(short.flow.training.scores[0], Score)
    assert suspects(with_metrics(short, 0.4))
    assert not suspects(with_metrics(short, 0.95))
    never = tuple(replace(score, metric=None, validation_metric=None) for score in short.flow.training.scores)
    unscored = replace(short.flow, training=replace(short.flow.training, scores=never))
    assert not suspects(replace(short, flow=unscored))
    assert not suspects(replace(short, flow=replace(short.flow, training=None)))


def test_finding_that_prescribes_even_if_only_in_words_is_what_counts(short) -> None:
    words = Prescription((), short.findings[0].message, short.findings[0].message, short.findings[0].message, "# so")
    told_of = replace(short.findings[0], severity="warning", prescriptions=(words,))
    assert not suspects(with_findings(short, told_of))
    noted = replace(words, remedies=("optimisation.unfreeze",))
    beside = replace(short.findings[0], severity="info", prescriptions=(noted,))
    assert suspects(with_findings(short, beside))[:2] == (("optimisation.unfreeze",), ("init.embedding",))


def test_steps_that_are_far_too_short_are_suspected_first(short) -> None:
    steps = tuple(replace(step, update_ratio=1e-7) for step in short.flow.training.steps)
    slow = replace(short, flow=replace(short.flow, training=replace(short.flow.training, steps=steps)))
    assert suspects(slow)[0] == ("optimisation.learning_rate:10000",)


def test_suspect_that_is_proven_is_a_cure_without_a_named_cause() -> None:
    cure = hw.fix(factors(10.0), steps=100, seeds=3, rates=(1.0,))
    assert (cure.verdict, cure.remedies) == ("proven", ("init.embedding",))
    assert [note.id for note in cure.notes][-1] == "cure.note_unnamed"
    assert cure.metric_after > cure.metric_before + 0.5
    assert "No rule names a cause" in str(cure)


def test_suspects_that_do_not_help_leave_the_verdict_as_it_was() -> None:
    def noise() -> Experiment:
        x = torch.randn(300, 6, generator=torch.Generator().manual_seed(1))
        y = torch.randn(300, generator=torch.Generator().manual_seed(2))
        return replace(
            factors(1.0),
            model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)),
            batches=lambda: [(x[i : i + 50], y[i : i + 50]) for i in range(0, 250, 50)],
            validation=lambda: [(x[250:], y[250:])],
        )

    cure = hw.fix(noise(), steps=60, seeds=3, rates=(1.0,))
    assert cure.verdict in ("nothing_to_fix", "not_proven")
    assert cure.remedies == ()
    assert cure.patch == ""
    assert [note.id for note in cure.notes][-2] == "cure.note_suspects"
