"""Each symptom is found where it was built in, with its cause, and nowhere else."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis import diagnose
from headwater.diagnosis.rules import RULES, dead_units
from headwater.records import Finding, Flow, InputError
from headwater.report import Report
from tests.cases import CASES, HEALTHY, LoRA, ReZero, TwoHeads, cross_entropy, plain_mlp, tokens, vectors

Optimizer = Callable[[Any], torch.optim.Optimizer]


def sgd(lr: float = 0.1) -> Optimizer:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def check(
    model: nn.Module, batch: Any, loss: Any = cross_entropy, optimizer: Optimizer | None = None, steps: int = 0
) -> Report:
    torch.set_num_threads(1)
    if optimizer is None and not steps:
        return hw.check(model, batch, loss)
    experiment = hw.Experiment(model=lambda: model, batches=lambda: [batch], loss=loss, optimizer=optimizer)
    return hw.check(experiment, steps=steps)


def in_float(m: Any, b: Any) -> Tensor:
    return F.cross_entropy(m(b[0]).float(), b[1])


def symptoms(report: Report) -> list[str]:
    return [finding.symptom for finding in report.findings]


def the(report: Report, symptom: str) -> Finding:
    """The finding of one rule by itself, whatever else explains it."""
    (rule,) = [rule for rule in RULES if rule.symptom == symptom]
    (finding,) = diagnose(report.flow, (rule,)).findings
    return finding


def seeded(model: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return model()


# Healthy: no finding of severity warning or worse.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_model_gives_no_warning(case: str, seed: int) -> None:
    report = hw.check(*HEALTHY[case].make(seed))
    assert report.verdict == "healthy", symptoms(report)


@pytest.mark.parametrize("case", sorted(HEALTHY.keys() - {"embedding-sparse", "cnn-batchnorm-eval"}))
def test_healthy_model_gives_no_warning_after_some_training(case: str) -> None:
    model, batch, loss = HEALTHY[case].make()
    report = check(model, batch, loss, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), steps=3)
    assert report.verdict == "healthy", symptoms(report)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("mlp-") and name.endswith("-4")])
def test_shallow_network_gives_no_warning_whatever_its_activation(case: str) -> None:
    assert hw.check(*CASES[case].make()).verdict == "healthy"


# Underflow and overflow.


@pytest.mark.parametrize(
    ("activation", "init", "depth", "dtype"),
    [
        ("sigmoid", "xavier", 20, torch.float16),
        ("sigmoid", "xavier", 80, torch.bfloat16),
        ("sigmoid", "xavier", 80, torch.float32),
        ("relu", "default", 125, torch.float32),
    ],
)
def test_underflow_is_told_from_vanishing(activation: str, init: str, depth: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(activation, init, depth, 32, 64, 10).to(dtype), vectors(64, 64, 10, dtype)
    report = check(model, batch, in_float)
    finding = the(report, "underflow")
    assert finding.severity == "critical"
    assert finding.sites[0] == "0"
    assert finding.causes[0].id == "numeric_underflow"
    first = report.flow.site("0").activation_grad
    assert first is not None
    assert first.zero_count == first.count
    exact = check(copy.deepcopy(model).double(), (batch[0].double(), batch[1]))
    assert "underflow" not in symptoms(exact)
    assert "vanishing" in symptoms(exact)


def test_subnormal_gradients_are_a_warning() -> None:
    torch.manual_seed(0)
    report = check(plain_mlp(), vectors(), lambda m, b: cross_entropy(m, b) * 1e-37)
    finding = the(report, "underflow")
    assert finding.severity == "warning"


def test_gradient_that_a_dead_layer_switches_off_is_no_underflow() -> None:
    model = seeded(plain_mlp)
    model[2].bias.data.fill_(-100.0)
    assert "underflow" not in symptoms(check(model, vectors()))


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1e20), (torch.float16, 1e3)])
def test_overflow_names_the_layer_and_is_no_plain_nonfinite(dtype: torch.dtype, factor: float) -> None:
    model = seeded(lambda: plain_mlp("relu", "he", 4)).to(dtype)
    with torch.no_grad():
        model[2].weight *= factor
        model[4].weight *= factor
    report = check(model, vectors(dtype=dtype), in_float)
    finding = the(report, "overflow")
    assert finding.severity == "critical"
    assert "4" in finding.sites
    assert finding.message.values["site"] == "4"
    assert finding.causes[0].id == "numeric_overflow"
    assert "nonfinite" not in symptoms(report)


def test_numbers_about_to_overflow_are_a_warning() -> None:
    model = seeded(lambda: plain_mlp("relu", "he", 3))
    with torch.no_grad():
        model[2].weight *= 1e20
    assert the(check(model, vectors()), "overflow").severity == "warning"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_ordinary_half_precision_networks_are_healthy(dtype: torch.dtype) -> None:
    model = seeded(lambda: plain_mlp("relu", "he", 5, 32)).to(dtype)
    assert check(model, vectors(dtype=dtype), in_float).verdict == "healthy"


def test_embedding_that_gets_no_gradient_is_named_with_the_first_layer() -> None:
    layers = [part for _ in range(6) for part in (nn.Linear(16, 16), nn.Tanh())]
    model = seeded(lambda: nn.Sequential(nn.Embedding(20, 16), *layers, nn.Flatten(), nn.Linear(96, 3)))
    with torch.no_grad():
        for layer in model[1:-2:2]:
            layer.weight.mul_(0.05)
    finding = the(check(model, tokens()), "vanishing")
    assert finding.sites == ("0", "1")
    assert finding.causes[0].id == "weights_too_small"


# NaN and Inf.


class ZeroByZero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + (x * 0) / (x * 0)


class RootOfZero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x - x.detach())


def _with(value: float, place: str) -> tuple[nn.Module, Any]:
    model, batch = seeded(plain_mlp), vectors()
    if place == "input":
        batch[0][3, 2] = value
    else:
        model[2].weight.data[0, 0] = value
    return model, batch


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("place", "site", "cause"), [("input", "0", "data_scale"), ("weight", "2.weight", "parameter_nonfinite")]
)
def test_nonfinite_is_named_where_it_comes_from(value: float, place: str, site: str, cause: str) -> None:
    finding = the(check(*_with(value, place)), "nonfinite")
    assert finding.severity == "critical"
    assert finding.sites[0] == site
    assert finding.causes[0].id == cause
    counts = {evidence.statistic: evidence.value for evidence in finding.evidence}
    assert counts == {"nan_count": int(value != value), "inf_count": int(value == value)}


def test_operation_that_makes_a_nan_is_named() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), ZeroByZero(), nn.Linear(8, 3)))
    finding = the(check(model, vectors()), "nonfinite")
    assert finding.message.id == "finding.nonfinite_activation"
    assert (finding.sites[0], finding.causes[0].id) == ("1", "numeric_overflow")
    assert finding.causes[0].why.id == "cause.nonfinite_operation.why"


def test_nonfinite_gradient_of_finite_signals_is_named() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), RootOfZero(), nn.Linear(8, 3)))
    report = check(model, vectors())
    assert all(row.activation.nonfinite_count == 0 for row in report.flow.sites)
    finding = the(report, "nonfinite")
    assert finding.message.id == "finding.nonfinite_gradient"
    assert finding.sites[0] == "0"
    assert (finding.causes[0].id, finding.causes[0].why.id) == ("numeric_overflow", "cause.nonfinite_operation.slope")


def bare_entropy(probabilities: Tensor, wanted: Tensor) -> Tensor:
    return -(wanted * probabilities.log() + (1 - wanted) * (1 - probabilities).log()).mean()


@pytest.mark.parametrize("head", [nn.Sigmoid(), nn.Softmax(1), None], ids=["sigmoid", "softmax", "in the loss"])
@pytest.mark.parametrize("steps", [0, 2])
def test_logarithm_of_a_probability_that_was_rounded_is_named(head: nn.Module | None, steps: int) -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 3), *([head] if head else [])))
    with torch.no_grad():
        model[0].weight.mul_(1e4)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        given = model(batch[0]) if head else model(batch[0]).softmax(1)
        return bare_entropy(given, nn.functional.one_hot(batch[1], 3).float())

    batch = vectors()
    report = check(model, batch, loss, sgd(0.0) if steps else None, steps)
    finding = next(finding for finding in report.findings if finding.symptom == "nonfinite")
    assert (finding.sites[0], finding.causes[0].id) == ("loss", "numeric_underflow")
    assert finding.causes[0].why.id == "cause.numeric_underflow.probability"


def test_empty_mean_is_no_rounded_probability() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 3), nn.Sigmoid()))
    report = check(model, vectors(), lambda m, b: m(b[0])[:0].mean())
    assert the(report, "nonfinite").causes[0].id == "numeric_overflow"


@pytest.mark.parametrize(
    "loss", [lambda m, b: cross_entropy(m, b) / 0.0, lambda m, b: torch.log(m(b[0]) - 100.0).mean()], ids=["inf", "nan"]
)
def test_nonfinite_loss_is_named(loss: Any) -> None:
    report = check(seeded(plain_mlp), vectors(), loss)
    assert report.verdict == "findings"
    assert the(report, "nonfinite").sites[0] == "loss"


# Dead and saturated units.


@pytest.mark.parametrize("seed", range(3))
def test_relu_killed_by_its_bias_is_found(seed: int) -> None:
    model = seeded(lambda: plain_mlp(depth=4), seed)
    model[2].bias.data.fill_(-100.0)
    report = check(model, vectors(), optimizer=sgd())
    finding = the(report, "dead_units")
    assert finding.severity == "critical"
    assert "3" in finding.sites
    assert finding.causes[0].id == "dead_relu"
    assert finding.prescriptions
    assert symptoms(report) == ["dead_units"]


def test_half_of_the_units_dead_is_not_enough_and_most_of_them_are() -> None:
    for dead, found in ((8, False), (15, False), (32, True)):
        model = seeded(lambda: plain_mlp(width=32))
        with torch.no_grad():
            model[0].bias.fill_(100.0)
            model[0].bias[:dead] = -100.0
        assert ("dead_units" in symptoms(check(model, vectors()))) == found


def test_dead_threshold_lies_between_half_and_all() -> None:
    assert dead_units.threshold(10_000) == pytest.approx(0.52)
    assert dead_units.threshold(4) == 1.0
    assert dead_units.threshold(0) == 1.0


def test_dead_units_are_unchecked_when_the_batch_is_too_small() -> None:
    model = seeded(plain_mlp)
    model[0].bias.data.fill_(-100.0)
    report = check(model, vectors(8))
    assert "dead_units" not in report.diagnosis.checked
    (reason,) = [m for m in report.diagnosis.unchecked if m.id == "unchecked.few_samples"]
    assert "dead_units" in str(reason.values["symptoms"])
    assert "dead_units" in check(model, vectors(64)).diagnosis.checked


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("seed", range(3))
def test_saturation_by_large_weights_is_found(activation: str, seed: int) -> None:
    model = seeded(lambda: plain_mlp(activation, depth=4), seed)
    with torch.no_grad():
        model[0].weight *= 100
        model[2].weight *= 100
    finding = the(check(model, vectors()), "saturation")
    assert finding.sites == ("1", "3")
    assert finding.severity == "critical"
    assert finding.causes[0].id == "weights_too_large"


def test_saturated_output_is_a_classifier_that_is_sure() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()))
    model[2].weight.data *= 100
    report = check(model, vectors(), lambda m, b: m(b[0]).mean())
    assert (report.flow.site("3").saturated_fraction or 0.0) > 0.5
    assert "saturation" not in symptoms(report)


# Weights that stay where they are.


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)).detach())


NOT_UPDATING: dict[str, tuple[Callable[[], nn.Module], Optimizer, str, str, str]] = {
    "the optimizer holds the head only": (
        plain_mlp,
        lambda parameters: torch.optim.SGD(list(parameters)[4:], lr=0.1),
        "optimizer_params",
        "warning",
        "0.weight",
    ),
    "the optimizer holds another model": (
        plain_mlp,
        lambda parameters: torch.optim.SGD(plain_mlp().parameters(), lr=0.1),
        "optimizer_params",
        "critical",
        "0.weight",
    ),
    "the graph is cut": (Detached, sgd(), "detached_graph", "warning", "body.weight"),
    "a head is unused": (TwoHeads, sgd(), "unused", "info", "unused.weight"),
    "the learning rate is tiny": (plain_mlp, sgd(1e-9), "learning_rate_low", "critical", "0.weight"),
    "the learning rate is zero, as a warm-up begins": (plain_mlp, sgd(0.0), "learning_rate_low", "info", "0.weight"),
    "the learning rate is as good as zero": (plain_mlp, sgd(1e-9), "learning_rate_low", "critical", "0.weight"),
    "the gradient is tiny": (
        lambda: plain_mlp("sigmoid", "xavier", 30),
        sgd(),
        "numeric_underflow",
        "warning",
        "0.weight",
    ),
    "the gradient is lost": (
        lambda: plain_mlp("sigmoid", "xavier", 80),
        sgd(),
        "numeric_underflow",
        "warning",
        "0.weight",
    ),
}


def test_cut_graph_is_found_without_an_optimizer_too() -> None:
    finding = the(check(seeded(Detached), vectors()), "not_updating")
    assert finding.causes[0].id == "detached_graph"
    assert finding.sites == ("body.weight", "body.bias")
    assert "not_updating" not in symptoms(check(seeded(TwoHeads), vectors()))


@pytest.mark.parametrize("situation", NOT_UPDATING)
def test_weights_that_stay_are_found_with_their_cause(situation: str) -> None:
    make, optimizer, cause, severity, site = NOT_UPDATING[situation]
    finding = the(check(seeded(make), vectors(), optimizer=optimizer), "not_updating")
    assert (finding.causes[0].id, finding.severity, finding.sites[0]) == (cause, severity, site)


def test_updates_below_half_an_ulp_of_bfloat16_are_found() -> None:
    model = seeded(plain_mlp).bfloat16()
    report = check(model, vectors(dtype=torch.bfloat16), in_float, sgd(1e-5))
    assert the(report, "not_updating").causes[0].id == "learning_rate_low"
    assert "not_updating" not in symptoms(check(seeded(plain_mlp), vectors(), optimizer=sgd(1e-2)))


def test_unused_head_alone_leaves_the_verdict_healthy() -> None:
    assert check(seeded(TwoHeads), vectors(), optimizer=sgd()).verdict == "healthy"


def test_frozen_weights_are_none_that_should_move() -> None:
    model, batch, loss = CASES["frozen"].make()
    assert symptoms(check(model, batch, loss, sgd())) == []


def test_updates_are_unchecked_without_an_optimizer() -> None:
    report = check(seeded(plain_mlp), vectors())
    assert "not_updating" not in report.diagnosis.checked
    assert "unchecked.no_optimizer" in [message.id for message in report.diagnosis.unchecked]


# What starts at zero by design.


def zero_head() -> nn.Module:
    model = plain_mlp(depth=4)
    nn.init.zeros_(model[-1].weight)
    return model


@pytest.mark.parametrize("optimizer", [None, sgd()], ids=["measured", "stepped"])
@pytest.mark.parametrize("seed", range(3))
def test_head_that_starts_at_zero_cannot_be_told_and_is_healthy_after_a_step(
    optimizer: Optimizer | None, seed: int
) -> None:
    report = check(seeded(zero_head, seed), vectors(), optimizer=optimizer)
    assert report.verdict == "cannot_tell"
    assert symptoms(report) == ["gated_by_design"]
    assert "unchecked.zero_gradient" in [message.id for message in report.diagnosis.unchecked]
    assert check(seeded(zero_head, seed), vectors(), optimizer=sgd(), steps=1).verdict == "healthy"


@pytest.mark.parametrize("model", [ReZero, LoRA, lambda: ReZero(blocks=12)], ids=["rezero", "lora", "rezero-deep"])
@pytest.mark.parametrize("seed", range(3))
def test_branches_that_start_at_zero_are_not_flagged(model: Callable[[], nn.Module], seed: int) -> None:
    for report in (check(seeded(model, seed), vectors()), check(seeded(model, seed), vectors(), optimizer=sgd())):
        assert report.verdict in ("healthy", "cannot_tell")
        assert symptoms(report) == ["gated_by_design"]
    assert check(seeded(model, seed), vectors(), optimizer=sgd(), steps=5).verdict == "healthy"


# The verdict.


def test_nothing_can_be_told_without_a_gradient() -> None:
    report = check(seeded(plain_mlp), vectors(), lambda m, b: cross_entropy(m, b) * 0.0)
    assert report.verdict == "cannot_tell"
    assert report.findings == ()


def test_findings_are_ordered_by_severity() -> None:
    model = seeded(lambda: plain_mlp("sigmoid", "xavier", 80))
    flow = check(model, vectors(), optimizer=sgd()).flow
    for rules in (RULES, RULES[::-1]):
        severities = [finding.severity for finding in diagnose(flow, rules).findings]
        assert severities == sorted(severities, key=["critical", "warning", "info"].index)
        assert severities.count("critical") == 2


def test_every_symptom_is_either_checked_or_says_why_not() -> None:
    for case in ("mlp-shallow", "rezero", "lstm"):
        diagnosis = hw.check(*CASES[case].make()).diagnosis
        unchecked = {name for m in diagnosis.unchecked for name in str(m.values["symptoms"]).split(", ")}
        assert set(diagnosis.checked) | unchecked == {rule.symptom for rule in RULES}


def test_diagnosis_of_a_stored_flow_is_the_same() -> None:
    """Rules read the record and nothing else."""
    report = hw.check(*CASES["mlp-sigmoid-xavier-30"].make())
    again = diagnose(Flow.from_dict(report.flow.to_dict()))
    assert [f.symptom for f in again.findings] == symptoms(report)
    assert again.waterfall == report.diagnosis.waterfall


def test_evidence_carries_numbers_thresholds_and_sources() -> None:
    for case in ("mlp-sigmoid-xavier-30", "mlp-relu-default-30"):
        for finding in hw.check(*CASES[case].make()).findings:
            judged = [evidence for evidence in finding.evidence if evidence.threshold is not None]
            assert judged
            assert all(evidence.source for evidence in judged)
            assert all(prescription.code for prescription in finding.prescriptions)


def test_error_of_the_caller_is_no_finding() -> None:
    with pytest.raises(InputError):
        check(seeded(plain_mlp), vectors(inputs=9))
