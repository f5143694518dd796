"""Each hypothesis is tested on a network that really has that fault: the change must restore it, and name the cause."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.demo import cross_entropy, digits
from headwater.intervening.verdict import with_interventions
from headwater.records import Cause, Finding, Intervention
from headwater.records.intervention import Effect
from headwater.report import Report, html, terminal
from headwater.report.words import Words
from tests.diagnosis.test_symptoms import ADAM, FAILING, TRAINED, Run, batches, drawn, network, with_softmax

BUDGET = hw.Budget(steps=30, repeats=3)
SGD = partial(torch.optim.SGD, lr=0.1)
DEEP_RELU = Run(lambda: drawn(network(depth=100), partial(nn.init.kaiming_normal_, nonlinearity="relu")))


class Detached(nn.Module):
    """Its encoder is cut off from the loss, as after a careless ``detach()``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.encoder(x).detach())


class FunctionalDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        return self.last(F.dropout(F.relu(self.first(x)), 0.97, self.training))


class Loud(nn.Module):
    """Its answers are a few hundred, whose squares float16 does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.half()

    def forward(self, x: Tensor) -> Any:
        return 400.0 * self.body(x.to(next(self.parameters()).dtype))


def of_another_model(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(network().parameters(), lr=0.1)


def loud_squares(model: Any, batch: Any) -> Tensor:
    output = model(batch[0])
    return F.mse_loss(output, 400.0 * F.one_hot(batch[1], 10).to(output.dtype))


# What is wrong, the symptom it is seen by, the change that must restore it and the cause that then comes first.
PLANTED: dict[str, tuple[Run, str, str, str]] = {
    "constant weights": (FAILING["symmetric_init"][0], "symmetric_init", "weights_redrawn", "init_mismatch"),
    "softmax twice": (
        Run(lambda: with_softmax(network())),
        "loss_activation_mismatch",
        "fitting_loss",
        "loss_mismatch",
    ),
    "dropout": (FAILING["dropout_too_high"][0], "dropout_too_high", "no_dropout", "dropout_high"),
    "functional dropout": (Run(FunctionalDropout), "dropout_too_high", "no_dropout", "dropout_high"),
    "batches of two": (
        FAILING["normalization_misuse"][0],
        "normalization_misuse",
        "merged_batches",
        "normalization_misuse",
    ),
    "huge rate": (FAILING["lr_too_high"][0], "lr_too_high", "rate_100th", "learning_rate_high"),
    "tiny rate": (FAILING["lr_too_low"][0], "lr_too_low", "rate_100", "learning_rate_low"),
    "recurrent": (
        FAILING["vanishing_through_time"][0],
        "vanishing_through_time",
        "recurrent_orthogonal",
        "recurrent_weights",
    ),
    "weight decay": (FAILING["underfitting"][0], "underfitting", "no_decay", "weight_decay_high"),
    "frozen": (FAILING["not_updating"][0], "not_updating", "unfrozen", "frozen"),
    "another model's parameters": (
        Run(optimizer=of_another_model),
        "not_updating",
        "all_parameters",
        "optimizer_params",
    ),
    "detached": (Run(Detached), "not_updating", "attached", "detached_graph"),
    "depth": (DEEP_RELU, "rank_collapse", "shortcut", "depth_without_shortcut"),
    "large weights": (
        Run(lambda: drawn(network(depth=8), partial(nn.init.normal_, std=3.0)), optimizer=SGD),
        "exploding",
        "weights_smaller",
        "weights_too_large",
    ),
    "small weights": (
        Run(lambda: drawn(network(nn.Tanh, depth=8), partial(nn.init.normal_, std=0.01)), optimizer=SGD),
        "vanishing",
        "weights_larger",
        "weights_too_small",
    ),
    "half precision": (
        Run(Loud, optimizer=ADAM, validated=False, loss=loud_squares, steps=12),
        "nonfinite",
        "precise_overflow",
        "numeric_overflow",
    ),
}


def finding_of(report: Report, symptom: str) -> Finding:
    return next(finding for finding in report.findings if finding.symptom == symptom)


def tried(finding: Finding, change: str) -> Intervention:
    return next(intervention for intervention in finding.interventions if intervention.change == change)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "depth" else n for n in PLANTED])
def test_the_change_that_undoes_a_planted_fault_restores_it_and_names_the_cause(name: str) -> None:
    run, symptom, change, cause = PLANTED[name]
    report = run.check(0, intervene=hw.Budget(steps=12) if name == "depth" else BUDGET)  # many layers take their time
    finding = finding_of(report, symptom)
    answer = tried(finding, change)
    assert answer.outcome == "restores", finding.interventions
    assert (answer.gone, answer.repeats) == (3, 3)
    assert finding.causes[0].id == cause


@pytest.mark.parametrize("drops", [F.dropout, F.alpha_dropout])
def test_a_dropout_that_is_called_as_a_function_is_seen_only_while_it_is_on(drops: Any) -> None:
    class Dropping(FunctionalDropout):
        def forward(self, x: Tensor) -> Any:
            return self.last(drops(F.relu(self.first(x)), p=0.9, training=self.training))

    for training in (True, False):
        model = Dropping().train(training)
        flow = hw.check(model, digits()[0], cross_entropy).flow
        shares = [row.site.settings["p"] for row in flow.sites if "p" in row.site.settings]
        assert shares == ([0.9] if training else [])


def test_what_does_not_undo_the_fault_does_not_restore_it() -> None:
    finding = finding_of(FAILING["underfitting"][0].check(0, intervene=BUDGET), "underfitting")
    others = [answer for answer in finding.interventions if answer.cause != "weight_decay_high"]
    assert len(others) > 4
    assert {answer.outcome for answer in others}.isdisjoint({"restores"})


def test_effects_are_those_of_the_attribution() -> None:
    """Sigmoid's slopes and small weights each take their share: undoing one brings back what the waterfall says."""
    report = Run(lambda: network(nn.Sigmoid, depth=8), optimizer=SGD).check(0, intervene=BUDGET)
    finding = finding_of(report, "vanishing")
    budget = report.diagnosis.waterfall
    assert budget is not None
    larger = tried(finding, "weights_larger")
    assert larger.failed is not None
    assert larger.failed.statistic == "decades"
    assert larger.outcome == "helps"
    assert larger.failed.change == pytest.approx(-budget.totals["weights"], abs=0.6)


def test_a_healthy_model_is_not_experimented_with() -> None:
    calls = []
    report = hw.check(
        TRAINED.experiment(), steps=30, seed=0, intervene=True, progress=lambda name, done, total: calls.append(name)
    )
    assert report.verdict == "healthy"
    assert set(calls) == {"progress.train"}


def test_the_same_seed_gives_the_same_answer_and_nothing_outside_changes() -> None:
    run = FAILING["not_updating"][0]
    shared = run.model()
    before = {name: tensor.clone() for name, tensor in shared.state_dict().items()}
    experiment = replace(run.experiment(), model=lambda: shared)
    random_state = torch.random.get_rng_state()
    first, second = (hw.check(experiment, seed=5, intervene=hw.Budget(steps=12, repeats=2)) for _ in range(2))
    assert first.findings == second.findings
    assert first.findings[0].interventions
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in shared.state_dict().items())
    assert [p.requires_grad for p in shared.parameters()] == [p.requires_grad for p in run.model().parameters()]


def test_control_and_change_train_on_the_same_batches() -> None:
    seen: list[list[float]] = []
    current: list[float] = []

    def noting(model: Any, batch: Any) -> Tensor:
        if torch.is_grad_enabled():
            current.append(float(batch[0].sum()))
        return cross_entropy(model, batch)

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        seen.append(current.copy())
        current.clear()
        return ADAM(parameters)

    experiment = replace(FAILING["not_updating"][0].experiment(), loss=noting, optimizer=optimizer)
    report = hw.check(experiment, seed=0, intervene=hw.Budget(steps=12, repeats=2))
    seen.append(current)
    answers = [answer for answer in finding_of(report, "not_updating").interventions if answer.repeats]
    branches = seen[2:]  # the first two belong to the check itself
    rounds = len(answers) + 1
    assert len(branches) == 2 * rounds
    calls = 12 + 2  # a change may look at a batch before, without training on it
    for repeat in (branches[:rounds], branches[rounds:]):
        assert all(branch[:calls] == repeat[0][:calls] for branch in repeat)
        assert len(repeat[0]) == calls
    assert branches[0] != branches[rounds]


def test_progress_counts_to_its_end() -> None:
    calls: list[tuple[str, int, int]] = []
    hw.check(
        FAILING["symmetric_init"][0].experiment(),
        seed=0,
        intervene=hw.Budget(steps=12, repeats=2),
        progress=lambda *call: calls.append(call),
    )
    done, totals = [call[1] for call in calls], {call[2] for call in calls}
    assert done == sorted(done)
    assert done[-1] == totals.pop()
    assert not totals


def test_when_the_time_is_up_what_was_not_tried_is_said() -> None:
    report = FAILING["lr_too_high"][0].check(0, intervene=hw.Budget(steps=12, repeats=2, seconds=1e-9))
    answers = finding_of(report, "lr_too_high").interventions
    assert answers
    assert all(answer.outcome == "not_tried" for answer in answers)
    assert {answer.why.id for answer in answers if answer.why is not None} == {"untried.time"}


def test_a_change_that_cannot_be_made_says_why() -> None:
    finding = finding_of(FAILING["underfitting"][0].check(0, intervene=hw.Budget(steps=12, repeats=2)), "underfitting")
    answer = tried(finding, "no_dropout")
    assert answer.outcome == "not_tried"
    assert answer.why is not None
    assert answer.why.id == "untried.dropout"


def test_nothing_is_concluded_where_the_unchanged_branch_does_not_fail() -> None:
    """Learned by heart after 80 steps, not after 12."""
    run = replace(FAILING["overfitting"][0])
    report = run.check(0, intervene=hw.Budget(steps=12, repeats=2))
    for answer in finding_of(report, "overfitting").interventions:
        assert answer.outcome == "cannot_tell"
        assert answer.why is not None
        assert answer.why.id == "untried.symptom"


def test_a_change_that_raises_is_told_and_the_others_go_on() -> None:
    def picky(model: Any, batch: Any) -> Tensor:
        if any(group for group in [model] if not all(p.requires_grad for p in group.parameters())):
            return cross_entropy(model, batch)
        raise RuntimeError("only half of me is trained")

    experiment = replace(FAILING["not_updating"][0].experiment(), loss=picky)
    report = hw.check(experiment, seed=0, intervene=hw.Budget(steps=12, repeats=2))
    finding = finding_of(report, "not_updating")
    answer = tried(finding, "unfrozen")
    assert answer.outcome == "not_tried"
    assert answer.why is not None
    assert "only half of me" in str(answer.why.values)
    assert tried(finding, "rate_10").repeats == 2


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_face_shows_what_was_tried(language: str) -> None:
    report = FAILING["underfitting"][0].check(0, intervene=hw.Budget(steps=30, repeats=2))
    words = Words.of(language)
    best = report.findings[0].interventions[0]
    for face in (terminal.plain(report, words), str(html.page(report, words))):
        assert words.say(best.what) in face
        assert words.outcome("restores") in face
        assert "{" not in words.say(best.what)
        assert "change." not in face
    assert Report.from_dict(json.loads(report.to_json())).findings == report.findings


@pytest.mark.parametrize("settings", [{"steps": 3}, {"repeats": 1}, {"seconds": 0.0}, {"repeats": 2.5}])
def test_a_budget_that_shows_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(hw.InputError, match=r"Budget\(steps=30"):
        hw.Budget(**settings)


def test_what_cannot_be_experimented_with_is_refused() -> None:
    model, (train, _) = network(), digits()
    not_a_budget: Any = 30
    with pytest.raises(hw.InputError, match="needs an Experiment"):
        hw.check(model, train, cross_entropy, intervene=True)
    with pytest.raises(hw.InputError, match="no optimizer"):
        hw.check(hw.Experiment(network, batches, cross_entropy), intervene=True)
    with pytest.raises(hw.InputError, match=r"hw\.Budget"):
        hw.check(TRAINED.experiment(), intervene=not_a_budget)


def test_effects_know_better_from_worse_and_a_number_from_none() -> None:
    assert Effect("training_loss", 2.0, 1.0, (-1.2, -0.8), -1).surely_better
    assert Effect("training_loss", 2.0, 3.0, (0.8, 1.2), -1).surely_worse
    assert Effect("decades", -9.0, -1.0, (7.0, 9.0), 1).surely_better
    assert not Effect("decades", -9.0, -8.0, (-1.0, 3.0), 1).surely_better
    nan = float("nan")
    assert Effect("training_loss", nan, 1.0, (nan, nan), -1).surely_better
    assert Effect("training_loss", 1.0, nan, (nan, nan), -1).surely_worse
    assert not Effect("training_loss", nan, nan, (nan, nan), -1).surely_better


def test_a_cause_that_no_change_could_test_is_not_displaced() -> None:
    """The operation that gives NaN is known; a smaller step only comes there later."""
    finding = finding_of(FAILING["lr_too_high"][0].check(0, intervene=BUDGET), "lr_too_high")
    seen = Cause("capacity_or_label_noise", None, finding.causes[0].why)
    answers = finding.interventions
    untested = with_interventions(replace(finding, causes=(seen,)), answers)
    assert [cause.id for cause in untested.causes] == ["capacity_or_label_noise", "learning_rate_high"]
    nothing = replace(answers[-1], cause="capacity_or_label_noise", outcome="nothing", repeats=2)
    refuted = with_interventions(replace(finding, causes=(seen,)), [*answers, nothing])
    assert [cause.id for cause in refuted.causes] == ["learning_rate_high", "capacity_or_label_noise"]
