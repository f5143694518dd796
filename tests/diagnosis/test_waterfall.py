"""The gradient's budget adds up, and names the right spender."""

import copy
import math

import pytest
import torch

import headwater as hw
from headwater.diagnosis import waterfall
from headwater.diagnosis.attribution import causes_of_decades
from headwater.diagnosis.waterfall import depth_decades, norm_decades
from headwater.records import Finding, Flow, Path, PathStep, SiteKind, Waterfall
from headwater.records.flow import PathPart
from headwater.report import Report
from tests.cases import CASES, cross_entropy, plain_mlp, vectors


def report_on(activation: str, init: str, depth: int = 30, width: int = 64, seed: int = 0) -> Report:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = plain_mlp(activation, init, depth, width, inputs=64, outputs=10)
    return hw.check(model, vectors(128, 64, 10), cross_entropy)


def budget_of(report: Report) -> Waterfall:
    assert report.diagnosis.waterfall is not None
    return report.diagnosis.waterfall


def the(report: Report, symptom: str) -> Finding:
    (finding,) = [f for f in report.findings if f.symptom == symptom]
    return finding


def shares(finding: Finding) -> dict[str, float]:
    return {cause.id: cause.share or 0.0 for cause in finding.causes}


@pytest.mark.parametrize("case", CASES)
def test_bars_and_totals_sum_to_the_whole(case: str) -> None:
    report = hw.check(*CASES[case].make())
    budget = budget_of(report)
    assert math.fsum(bar.decades for bar in budget.bars) == pytest.approx(budget.decades, abs=1e-9)
    assert math.fsum(budget.totals.values()) == pytest.approx(budget.decades, abs=1e-9)
    assert budget.decades == pytest.approx(budget.log10_first - budget.log10_last)
    if abs(budget.decades) > 1e-6:
        assert math.fsum(budget.shares().values()) == pytest.approx(1.0, abs=1e-6)
        causes = causes_of_decades(report.flow, budget)
        assert math.fsum(cause.share or 0.0 for cause in causes) == pytest.approx(1.0, abs=1e-6)
        assert [c.share for c in causes] == sorted((c.share or 0.0 for c in causes), reverse=True)


@pytest.mark.parametrize("width", [32, 64, 128, 256])
@pytest.mark.parametrize("seed", [0, 1])
def test_deep_sigmoid_network_vanishes_by_its_derivatives(width: int, seed: int) -> None:
    report = report_on("sigmoid", "xavier", width=width, seed=seed)
    finding = the(report, "vanishing")
    assert finding.severity == "critical"
    assert finding.sites == ("0",)
    assert finding.causes[0].id == "activation_derivative"
    assert shares(finding)["activation_derivative"] == pytest.approx(1.0, abs=0.05)
    assert math.fsum(shares(finding).values()) == pytest.approx(1.0, abs=1e-9)
    assert budget_of(report).totals["activation"] == pytest.approx(29 * math.log10(0.2360), abs=0.5)
    assert finding.prescriptions


@pytest.mark.parametrize("width", [32, 64, 128, 256])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_network_with_he_relu_is_healthy(width: int, seed: int) -> None:
    report = report_on("relu", "he", width=width, seed=seed)
    assert report.verdict == "healthy"
    assert {"vanishing", "underflow", "dead_units"} <= set(report.diagnosis.checked)


@pytest.mark.parametrize("seed", range(3))
def test_default_relu_network_vanishes_by_its_weights(seed: int) -> None:
    """√(1/3 · 1/2) per layer: 0.239 decades by the weights, 0.151 by the derivative."""
    finding = the(report_on("relu", "default", width=128, seed=seed), "vanishing")
    assert finding.causes[0].id == "weights_too_small"
    assert shares(finding)["activation_derivative"] == pytest.approx(0.151 / 0.389, abs=0.04)


def test_default_sigmoid_network_owes_the_larger_part_to_its_derivatives() -> None:
    finding = the(report_on("sigmoid", "default"), "vanishing")
    assert [cause.id for cause in finding.causes[:2]] == ["activation_derivative", "weights_too_small"]
    expected = math.log10(0.25) / (math.log10(0.25) + math.log10(1 / 3) / 2)
    assert shares(finding)["activation_derivative"] == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("depth", "severity"), [(100, "warning"), (160, "critical")])
def test_tanh_with_gain_five_thirds_explodes_by_its_weights(depth: int, severity: str) -> None:
    finding = the(report_on("tanh", "tanh_gain", depth), "exploding")
    assert finding.severity == severity
    assert finding.causes[0].id == "weights_too_large"
    assert finding.causes[-1].id == "counteracting"
    assert math.fsum(shares(finding).values()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_weights_of_unit_variance_explode_or_saturate(activation: str) -> None:
    report = report_on(activation, "unit_normal", 10)
    found = {f.symptom: f for f in report.findings}
    assert found.keys() & {"exploding", "saturation"}
    assert "vanishing" not in found
    assert all(f.causes[0].id == "weights_too_large" for f in found.values())


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_shares_do_not_depend_on_the_dtype(activation: str) -> None:
    torch.manual_seed(0)
    model, (x, y) = plain_mlp(activation, "xavier", 30, 64, 64, 10), vectors(128, 64, 10)
    single = hw.check(model, (x, y), cross_entropy)
    double = hw.check(copy.deepcopy(model).double(), (x.double(), y), cross_entropy)
    for name, decades in budget_of(double).totals.items():
        assert budget_of(single).totals[name] == pytest.approx(decades, abs=1e-3)


def _flow(*steps: PathStep) -> Flow:
    total = math.fsum(step.log10_gain for step in steps)
    path = Path(first="a", last="z", log10_first=-1.0 + total, log10_last=-1.0, steps=steps)
    return Flow(sites=(), parameters=(), path=path, loss=1.0)


def _step(kind: SiteKind, gain: float, weight_gain: float | None = None, part: PathPart = "operation") -> PathStep:
    return PathStep(None, kind, kind, part, gain, weight_gain)


def test_affine_map_is_split_into_scale_and_alignment() -> None:
    budget = waterfall(_flow(_step("affine", -0.5, weight_gain=0.1)))
    assert budget is not None
    assert budget.totals == pytest.approx({"weights": -1.0, "alignment": 0.5})


def test_every_kind_is_charged_to_a_category() -> None:
    kinds = ["activation", "normalization", "pooling", "affine", "embedding", "recurrent", "attention", "other"]
    budget = waterfall(_flow(*(_step(kind, -0.1) for kind in kinds), _step("other", 0.3, part="join")))
    assert budget is not None
    expected = {
        "activation": -0.1,
        "normalization": -0.1,
        "pooling": -0.1,
        "weights": -0.1,
        "other": -0.4,
        "shortcut": 0.3,
    }
    assert budget.totals == pytest.approx(expected)


def test_weights_of_zero_are_not_split() -> None:
    budget = waterfall(_flow(_step("affine", -0.5, weight_gain=0.0)))
    assert budget is not None
    assert budget.totals == {"weights": -0.5}


def test_what_works_against_the_total_is_one_cause() -> None:
    flow = _flow(_step("activation", -3.0), _step("affine", 1.0), _step("normalization", 0.5), _step("pooling", -1e-4))
    budget = waterfall(flow)
    assert budget is not None
    causes = {cause.id: cause.share for cause in causes_of_decades(flow, budget)}
    assert causes.keys() == {"activation_derivative", "counteracting"}
    assert causes["counteracting"] == pytest.approx(1.5 / -1.5001)


def test_gains_and_losses_name_weights_too_large_and_too_small() -> None:
    for gain, cause in ((-2.0, "weights_too_small"), (2.0, "weights_too_large")):
        flow = _flow(_step("affine", gain))
        budget = waterfall(flow)
        assert budget is not None
        assert [(c.id, c.share) for c in causes_of_decades(flow, budget)] == [(cause, 1.0)]


def test_budget_is_missing_without_a_path() -> None:
    assert waterfall(Flow(sites=(), parameters=(), path=None, loss=1.0)) is None


def test_depth_decades_leave_out_the_worst_operation_and_pooling() -> None:
    path = _flow(_step("affine", -3.0), _step("activation", -0.5), _step("pooling", -4.0), _step("affine", 0.1)).path
    assert path is not None
    assert norm_decades(path) == pytest.approx(-3.4)
    assert depth_decades(path) == pytest.approx(-0.4)
