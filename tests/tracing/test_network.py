"""Small networks: each gradient is the error after it times the activation before it."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import headwater as hw
from headwater.theory import ACTIVATIONS
from headwater.tracing import formulas
from tests.tracing.cases import Through, lecture_net, mlp

X, Y = [1.0, -1.0], [1.0]


def autograd(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Every gradient of the mean squared error, in one plain backward pass in float64."""
    double = copy.deepcopy(model).double()
    nn.functional.mse_loss(double(x.double()), y.double()).backward()
    return {name: parameter.grad for name, parameter in double.named_parameters()}


def differences(model: nn.Module, x: Tensor, y: Tensor, name: str, index: tuple[int, ...]) -> float:
    """The same by central differences of fourth order."""
    double = copy.deepcopy(model).double()
    weight = dict(double.named_parameters())[name]
    here, h = float(weight.detach()[index]), 1e-3

    def loss(moved: float) -> float:
        with torch.no_grad():
            weight[index] = here + moved
            return float(nn.functional.mse_loss(double(x.double()), y.double()))

    return (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)


def test_lecture_net_shows_the_numbers_of_the_lecture() -> None:
    trace = hw.trace(lecture_net(), X, Y)
    assert trace.kind == "network"
    values = [[round(value, 3) for value in stage.values] for stage in trace.stages]
    assert values == [[1, -1], [1, 0], [0.731, 0.5], [0.231], [0.558]]
    shown = str(trace)
    for number in ("0.731", "0.5 ", "0.231", "0.557"):
        assert number in shown


def test_lecture_net_agrees_with_autograd_and_differences() -> None:
    net, x, y = lecture_net(), torch.tensor([X]), torch.tensor([Y])
    trace = hw.trace(net, X, Y)
    expected = autograd(net, x, y)
    assert len(trace.weights) == 6
    for weight in trace.weights:
        assert weight.gradient == weight.error * weight.activation
        assert weight.gradient == pytest.approx(float(expected[weight.parameter][weight.index]), abs=1e-9)
        numeric = differences(net, x, y, weight.parameter, weight.index)
        assert weight.gradient == pytest.approx(numeric, abs=1e-9)
    assert [check.status for check in trace.checks] == ["holds"] * 3


def test_step_moves_each_weight_against_its_gradient_and_the_loss_falls() -> None:
    net = lecture_net()
    trace = hw.trace(net, X, Y, rate=0.5)
    assert trace.descent is not None
    assert trace.descent.loss_after < trace.descent.loss_before
    moved = copy.deepcopy(net).double()
    with torch.no_grad():
        for weight in trace.weights:
            assert weight.updated == weight.value - 0.5 * weight.gradient
            dict(moved.named_parameters())[weight.parameter][weight.index] = weight.updated
    x, y = torch.tensor([X]).double(), torch.tensor([Y]).double()
    assert nn.functional.mse_loss(moved(x), y).item() == pytest.approx(trace.descent.loss_after, rel=1e-12)
    assert "the loss falls from 0.1958" in str(trace)


def test_step_that_is_too_long_is_said_to_raise_the_loss() -> None:
    trace = hw.trace(mlp(2, 3, 1, activation=nn.ReLU, seed=3), X, [5.0], rate=50.0)
    assert trace.descent is not None
    assert trace.descent.loss_after > trace.descent.loss_before
    assert "RISES" in str(trace)


def test_no_loss_no_step() -> None:
    assert hw.trace(lecture_net(), X).descent is None


@pytest.mark.parametrize("parameter", ["0.weight[1,0]", "0.bias[2]", "2.weight[1,2]", "4.bias"])
def test_ways_of_any_weight_sum_to_its_gradient(parameter: str) -> None:
    net = mlp(2, 3, 3, 2)
    trace = hw.trace(net, X, [0.5, -0.5], parameter=parameter)
    wanted = parameter if "[" in parameter else f"{parameter}[0]"
    assert trace.parameter_name == wanted
    counts = {"0.weight[1,0]": 6, "0.bias[2]": 6, "2.weight[1,2]": 2, "4.bias[0]": 1}
    assert (trace.path_count, len(trace.paths)) == (counts[wanted], counts[wanted])
    expected = autograd(net, torch.tensor([X]), torch.tensor([[0.5, -0.5]]))
    own = float(expected[trace.parameter][trace.index])
    assert sum(path.product for path in trace.paths) == pytest.approx(own, rel=1e-12)
    assert trace.gradient.value == pytest.approx(own, rel=1e-12)
    for path in trace.paths:
        product = 1.0
        for factor in path.factors:
            product *= factor.value
        assert product == pytest.approx(path.product, rel=1e-12)


@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    st.sampled_from(sorted(set(ACTIVATIONS) - {"gelu_tanh"})),
    st.booleans(),
    st.integers(0, 10_000),
)
@settings(max_examples=30)
def test_any_small_network_agrees_with_autograd(sizes: list[int], activation: str, bias: bool, seed: int) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in zip([3, *sizes[:-1]], sizes, strict=True):
        layers += [nn.Linear(before, after, bias=bias), getattr(nn, ACTIVATIONS[activation].modules[0])()]
    net = nn.Sequential(*layers)
    x, y = torch.randn(1, 3), torch.randn(1, sizes[-1])
    trace = hw.trace(net, x, y)
    assert trace.kind == "network"
    expected = autograd(net, x, y)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for weight in trace.weights:
        other = float(expected[weight.parameter][weight.index])
        assert weight.gradient == pytest.approx(other, abs=1e-9 * largest + 1e-300)
    assert trace.holds, str(trace)


@pytest.mark.parametrize("seed", range(5))
def test_functions_inside_a_forward_are_seen(seed: int) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(2, 3), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu_(self.hidden(x)))

    torch.manual_seed(seed)
    trace = hw.trace(Net(), X, Y)
    assert [stage.op for stage in trace.stages] == ["", "Linear", "relu_", "Linear"]
    assert trace.holds


def test_first_sample_of_a_batch_is_traced_and_said_so() -> None:
    net = mlp(2, 3, 1)
    x, y = torch.randn(5, 2), torch.randn(5, 1)
    trace = hw.trace(net, x, y)
    alone = hw.trace(net, x[:1], y[:1])
    assert (trace.sample, trace.samples) == (0, 5)
    assert trace.weights == alone.weights
    assert "Of 5 samples the first is traced" in str(trace)


def test_wrong_slope_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(ACTIVATIONS["sigmoid"], derivative=lambda p: 0.25 + 0 * p)
    monkeypatch.setattr(formulas, "_slope", lambda activation, before, parameters: wrong.derivative(before))
    trace = hw.trace(lecture_net(), X, Y)
    found = {check.id: check.status for check in trace.checks}
    assert (found["gradients"], found["central_differences"]) == ("fails", "fails")


def test_unit_at_a_kink_is_told() -> None:
    net = lecture_net()
    net[1] = nn.ReLU()
    trace = hw.trace(net, X, Y)
    found = {check.id: check for check in trace.checks}
    assert found["gradients"].status == "holds"
    assert found["central_differences"].status == "unresolved"
    assert "exactly where its activation has no derivative" in " ".join(str(trace).split())


def test_network_that_is_too_large_to_read_goes_layer_by_layer() -> None:
    assert hw.trace(mlp(2, 30, 1), X, Y).kind == "layers"
    assert hw.trace(mlp(4, 8, 8, 8), [1.0] * 4).kind == "layers"
    assert hw.trace(Through(lambda t: t.cumsum(1)), [1.0] * 3).kind == "layers"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("parameter", ["0.weight[0,1]", "0.bias[1]", "2.weight[0,1]"])
def test_gradient_of_a_shared_weight_is_the_sum_over_its_uses(parameter: str, tied: bool) -> None:
    """One layer that is used twice, or two layers with one weight."""
    torch.manual_seed(0)
    first = second = nn.Linear(2, 2)
    if tied:
        second = nn.Linear(2, 2)
        second.weight, second.bias = first.weight, first.bias
    net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Linear(2, 1))
    trace = hw.trace(net, X, Y, parameter=parameter)
    assert trace.kind == "network"
    assert trace.parameter_name == parameter.replace("2.weight", "0.weight")
    expected = float(autograd(net, torch.tensor([X]), torch.tensor([Y]))[trace.parameter][trace.index])
    uses = [w for w in trace.weights if (w.parameter, w.index) == (trace.parameter, trace.index)]
    assert [use.use for use in uses] == [1, 2]
    assert sum(use.gradient for use in uses) == pytest.approx(expected, rel=1e-12)
    assert [use.updated for use in uses] == pytest.approx([uses[0].value - 0.1 * expected] * 2, rel=1e-12)
    assert len(trace.paths) == trace.path_count == 2 + 1
    assert sum(path.product for path in trace.paths) == pytest.approx(expected, rel=1e-12)
    assert trace.gradient.value == pytest.approx(expected, rel=1e-12)
    assert {check.status for check in trace.checks} == {"holds"}
    assert "0.weight is used 2 times" in str(trace)


def test_unit_that_is_unrolled_in_time_has_a_way_for_each_step() -> None:
    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(5):
                x = torch.tanh(self.step(x))
            return x

    torch.manual_seed(0)
    net = Unrolled()
    trace = hw.trace(net, 0.7)
    double = copy.deepcopy(net).double()
    double(torch.tensor([[0.7]], dtype=torch.float64)).backward()
    assert trace.path_count == len(trace.paths) == 5
    assert sum(path.product for path in trace.paths) == pytest.approx(float(double.step.weight.grad), rel=1e-12)
    assert trace.holds


def test_penalty_on_the_weights_is_no_product_along_the_network() -> None:
    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch).square().mean() + 0.1 * sum(p.square().sum() for p in model.parameters())

    trace = hw.trace(hw.Experiment(lecture_net, lambda: [torch.tensor([X])], loss))
    double = lecture_net().double()
    loss(double, torch.tensor([X], dtype=torch.float64)).backward()
    assert trace.kind == "layers"
    assert trace.gradient.value == pytest.approx(float(double[0].weight.grad.norm()), rel=1e-12)
    assert trace.holds
    assert "as a penalty does" in " ".join(str(trace).split())
