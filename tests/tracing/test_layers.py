"""Larger networks: Jacobian gains per operation, and ratios that multiply to the gradient autograd gives."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.records import LayerGain
from headwater.tracing import jacobian as jacobians
from tests.tracing.cases import Tokens, mlp, resnet


def batch(*shape: int, classes: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator), torch.randint(classes, shape[:1], generator=generator)


def input_gradient(model: nn.Module, x: Tensor, y: Tensor) -> float:
    double, leaf = copy.deepcopy(model).double(), x.double().requires_grad_()
    nn.functional.cross_entropy(double(leaf), y).backward()
    return float(leaf.grad.norm())


def row(trace: hw.Trace, name: str) -> LayerGain:
    return next(layer for layer in trace.layers if layer.name == name)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (mlp(20, 30, 30, 4), (6, 20)),
        (resnet(), (4, 1, 8, 8)),
        (resnet().eval(), (4, 1, 8, 8)),
        (nn.Sequential(nn.Linear(20, 30), nn.LayerNorm(30), nn.GELU(), nn.Linear(30, 4)), (6, 20)),
    ],
    ids=["mlp", "resnet in training", "resnet", "layer norm"],
)
def test_ratios_multiply_to_the_gradient_of_the_input(model: nn.Module, shape: tuple[int, ...]) -> None:
    x, y = batch(*shape)
    trace = hw.trace(model, x, y)
    assert trace.kind == "layers"
    total = 10 ** sum(layer.log10_ratio for layer in trace.layers)
    assert total == pytest.approx(input_gradient(model, x, y), rel=1e-10)
    assert trace.log10_input_gradient == pytest.approx(math.log10(total), abs=1e-12)
    assert trace.holds, str(trace)
    assert {"walk", "telescope", "bound", "direction"} <= {check.id for check in trace.checks}


def test_exact_gain_is_that_of_the_whole_jacobian() -> None:
    model = nn.Sequential(nn.Linear(7, 9), nn.LayerNorm(9), nn.Tanh(), nn.Linear(9, 40)).double()
    x = torch.randn(3, 7, dtype=torch.float64)
    trace = hw.trace(model, x)
    hidden = model[0](x).detach()
    exact = [torch.autograd.functional.jacobian(model[1], one) for one in hidden]
    norm = row(trace, "1")
    assert norm.method == "exact"
    assert (norm.outputs, norm.inputs) == (9, 9)
    assert norm.gain == pytest.approx(float(torch.stack(exact).square().sum() / 3 / 9) ** 0.5, rel=1e-10)
    largest = max(float(torch.linalg.matrix_norm(one, 2)) for one in exact)
    assert norm.largest == pytest.approx(largest, rel=1e-10)
    linear = row(trace, "3")
    assert linear.largest == pytest.approx(float(torch.linalg.matrix_norm(model[3].weight.detach(), 2)), rel=1e-10)
    assert linear.gain == pytest.approx(float(model[3].weight.detach().norm()) / 40**0.5, rel=1e-10)


def test_elementwise_operation_needs_its_diagonal_only() -> None:
    trace = hw.trace(mlp(20, 30, 4, activation=nn.Sigmoid), *batch(6, 20))
    sigmoid = row(trace, "1")
    assert sigmoid.method == "diagonal"
    assert sigmoid.largest is not None
    assert sigmoid.largest <= 0.25


def test_estimate_lies_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = mlp(20, 60, 60, 4), batch(6, 20)
    exact = hw.trace(model, x, y)
    monkeypatch.setattr(jacobians, "MOST_WORK", 0)
    estimate = hw.trace(model, x, y)
    estimated = [layer for layer in estimate.layers if layer.method == "estimate"]
    assert [layer.name for layer in estimated] == ["cross_entropy", "4", "2", "0"]
    for layer in estimated:
        true = row(exact, layer.name)
        assert layer.vectors == jacobians.VECTORS
        assert layer.gain_error is not None
        assert abs(layer.gain - true.gain) <= 4 * layer.gain_error + 1e-12
        assert layer.gain_error < 0.1 * layer.gain + 1e-12
        assert layer.largest_is_bound
        assert 0.8 * true.largest <= layer.largest <= true.largest * (1 + 1e-9)


def test_estimate_is_unbiased() -> None:
    """Over many draws the squared gain averages to ‖J‖_F²/n."""
    weight = torch.randn(30, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, 20, dtype=torch.float64, requires_grad=True)
    y = x @ weight.T
    ends = [torch.autograd.graph.get_gradient_edge(tensor) for tensor in (y, x)]
    generator = torch.Generator().manual_seed(1)
    squares = [jacobians._estimated(*ends, y.detach(), generator, None).gain ** 2 for _ in range(60)]
    expected = float(weight.square().sum()) / 30
    spread = torch.tensor(squares).std() / 60**0.5
    assert abs(sum(squares) / 60 - expected) < 4 * float(spread)


def test_error_of_an_estimate_says_how_far_off_it_is() -> None:
    """Over 300 draws: about two thirds within one standard error of the truth, and nearly all within three."""
    weight = torch.randn(25, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, 40, dtype=torch.float64, requires_grad=True)
    y = x @ weight.T
    ends = [torch.autograd.graph.get_gradient_edge(tensor) for tensor in (y, x)]
    true = float(weight.norm()) / 25**0.5
    off = []
    for seed in range(300):
        found = jacobians._estimated(*ends, y.detach(), torch.Generator().manual_seed(seed), None)
        assert found.gain_error is not None
        off.append(abs(found.gain - true) / found.gain_error)
    within = [sum(one <= errors for one in off) / len(off) for errors in (1, 2, 3)]
    # Student's t with 15 degrees of freedom: 0.67, 0.94, 0.991; three standard deviations of 300 draws either way.
    assert within[0] == pytest.approx(0.67, abs=0.081)
    assert within[1] == pytest.approx(0.94, abs=0.042)
    assert within[2] > 0.97


def test_sigmoid_layers_lose_what_theory_says() -> None:
    """Xavier weights and σ multiply the gradient's norm by 0.25 each layer, nearly: LESSONS, row vanishing."""
    model = mlp(*[64] * 12, activation=nn.Sigmoid)
    for layer in model[::2]:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    trace = hw.trace(model, *batch(16, 64, classes=64))
    inner = [layer for layer in trace.layers if layer.op == "Sigmoid"][1:-1]
    pairs = [layer.log10_ratio + row(trace, str(int(layer.name) - 1)).log10_ratio for layer in inner]
    assert 10 ** (sum(pairs) / len(pairs)) == pytest.approx(0.236, rel=0.1)
    assert "takes most" in str(trace)


def test_block_with_a_shortcut_is_one_operation_and_its_inside_is_told() -> None:
    trace = hw.trace(resnet(), *batch(4, 1, 8, 8))
    join = row(trace, "2/add_#1")
    assert join.inside == 5
    assert join.kind == "join"
    assert trace.way is not None
    ratios = sum(step.log10_gain for step in trace.way.steps)
    assert ratios == pytest.approx(trace.way.log10_first - trace.way.log10_last, abs=1e-9)
    assert "2.conv1 Conv2d" in str(trace)
    assert "5 operations run beside a shortcut" in str(trace)


def test_samples_that_act_on_each_other_are_told() -> None:
    x, y = batch(4, 1, 8, 8)
    assert row(hw.trace(resnet(), x, y), "2/add_#1").note is not None
    assert row(hw.trace(resnet().eval(), x, y), "2/add_#1").note is None


def test_way_of_whole_numbers_ends_at_the_embedding() -> None:
    x = torch.randint(11, (4, 5), generator=torch.Generator().manual_seed(0))
    trace = hw.trace(Tokens(), x, torch.tensor([0, 1, 2, 0]), parameter="recurrent.weight_hh_l0")
    assert trace.layers[-1].name == "recurrent"
    assert trace.holds


def test_gradient_of_a_deep_network_is_no_zero_where_a_float_would_be() -> None:
    model = mlp(*[8] * 80, activation=nn.Sigmoid)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=1e-4)
    trace = hw.trace(model, *batch(4, 8, classes=8), parameter="0.weight")
    assert trace.gradient.value == 0.0
    assert -500 < trace.gradient.log10 < -308
    assert trace.rounded is not None
    assert trace.rounded.value == 0.0
    assert trace.log10_input_gradient is not None
    assert math.isfinite(trace.log10_input_gradient)
    assert trace.holds
    assert "underflow" in str(trace)


def test_operation_that_lets_nothing_through_is_named() -> None:
    class Rounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = nn.Linear(3, 20), nn.Linear(20, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.round(self.inner(x)))

    trace = hw.trace(Rounded(), torch.randn(2, 3), parameter="inner.weight")
    assert trace.gradient.sign == 0
    assert row(trace, "round#1").log10_ratio == -math.inf
    assert "round#1 (round) lets nothing through" in str(trace)


def test_wrong_product_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.tracing import backward

    honest = backward.vjp
    calls = iter(range(10**6))
    monkeypatch.setattr(
        backward, "vjp", lambda *arguments, **options: honest(*arguments, **options) * (1 + 1e-6 * (next(calls) == 2))
    )
    trace = hw.trace(mlp(20, 30, 30, 4), *batch(6, 20))
    assert {check.id for check in trace.checks if check.status == "fails"} == {"walk", "telescope"}
    assert "DISAGREE" in str(trace).splitlines()[0]


def test_ratio_above_the_largest_singular_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = jacobians._largest_exactly
    monkeypatch.setattr(jacobians, "_largest_exactly", lambda matrix: honest(matrix) / 10)
    trace = hw.trace(mlp(20, 30, 30, 4), *batch(6, 20))
    assert {check.id for check in trace.checks if check.status == "fails"} == {"bound"}
