"""One weight of a larger network: its gradient as error × activation, at every width and place, against autograd."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.report.trace.symbols import precise
from headwater.report.words import Words
from tests.tracing.cases import Block, mlp, resnet


def gradient(model: nn.Module, x: Tensor, y: Tensor, name: str, index: tuple[int, ...]) -> float:
    """Autograd's own, in float64 and in one pass."""
    double = copy.deepcopy(model).double()
    nn.functional.cross_entropy(double(x.double()), y).backward()
    found = dict(double.named_parameters())[name].grad
    assert found is not None
    return float(found[index])


def batch(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator), torch.randint(4, shape[:1], generator=generator)


def product(trace: hw.Trace) -> float:
    own = trace.arrival
    assert own is not None
    return own.error.value * own.activation * own.alignment


@pytest.mark.parametrize(("name", "index"), [("0.weight", (3, 7)), ("2.weight", (29, 0)), ("4.weight", (1, 11))])
def test_gradient_of_one_sample_is_error_times_activation(name: str, index: tuple[int, int]) -> None:
    model, (x, y) = mlp(20, 30, 30, 4), batch(1, 20)
    trace = hw.trace(model, x, y, parameter=f"{name}[{index[0]},{index[1]}]")
    own = trace.arrival
    assert trace.kind == "layers"
    assert own is not None
    assert (own.name, own.op, own.unit, own.count, own.alignment) == (name[0], "Linear", index[0], 1, 1.0)
    assert product(trace) == pytest.approx(gradient(model, x, y, name, index), rel=1e-10)
    before = model.double()[: int(name[0])](x.double())
    assert own.activation == pytest.approx(float(before.detach()[0, index[1]]), rel=1e-12)
    assert trace.layers[own.passed].name == name[0]
    assert trace.layers[own.passed - 1].log10_gradient == pytest.approx(own.log10_error, abs=1e-12)


def test_rows_before_it_lead_from_the_loss_to_its_error() -> None:
    x, y = batch(1, 20)
    trace = hw.trace(mlp(20, 30, 30, 4), x, y, parameter="2.weight[5,5]")
    own = trace.arrival
    assert own is not None
    ratios = [row.log10_ratio or 0.0 for row in trace.layers[: own.passed]]
    assert math.fsum(ratios) == pytest.approx(own.log10_error, abs=1e-12)
    assert own.error.log10 <= own.log10_error


@pytest.mark.parametrize(
    ("model", "shape", "name", "index"),
    [
        (mlp(20, 30, 30, 4), (6, 20), "2.weight", (3, 4)),
        (resnet(), (4, 1, 8, 8), "0.weight", (1, 0, 2, 1)),
        (resnet(), (4, 1, 8, 8), "2.conv2.weight", (2, 1, 0, 0)),
        (resnet().eval(), (1, 1, 8, 8), "2.conv1.weight", (0, 1, 1, 1)),
        (resnet(), (4, 1, 8, 8), "5.weight", (2, 1)),
        (
            nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(40, 4)),
            (3, 2, 12),
            "0.weight",
            (1, 1, 2),
        ),
    ],
    ids=["batch", "convolution", "beside a shortcut", "one sample", "behind pooling", "over time"],
)
def test_gradient_of_many_numbers_is_their_scalar_product(
    model: nn.Module, shape: tuple[int, ...], name: str, index: tuple[int, ...]
) -> None:
    x, y = batch(*shape)
    reference = gradient(model, x, y, name, index)
    trace = hw.trace(model, x, y, parameter=f"{name}[{','.join(map(str, index))}]")
    own = trace.arrival
    assert own is not None
    assert own.count > 1
    assert abs(own.alignment) <= 1 + 1e-12
    assert product(trace) == pytest.approx(reference, rel=1e-8)
    check = next(check for check in trace.checks if check.id == "own")
    assert check.status == "holds"
    assert check.count == own.count


def test_bias_multiplies_one() -> None:
    model, (x, y) = mlp(20, 30, 30, 4), batch(1, 20)
    trace = hw.trace(model, x, y, parameter="2.bias[7]")
    assert trace.arrival is not None
    assert trace.arrival.activation == 1.0
    assert product(trace) == pytest.approx(gradient(model, x, y, "2.bias", (7,)), rel=1e-10)


def test_gradient_below_every_float_keeps_its_factors() -> None:
    model, (x, y) = mlp(20, *[20] * 600, 4, activation=nn.Sigmoid), batch(1, 20)
    trace = hw.trace(model, x, y, parameter="0.weight[3,4]")
    own = trace.arrival
    assert own is not None
    assert trace.gradient.value == 0.0
    assert own.error.log10 + math.log10(abs(own.activation)) == pytest.approx(trace.gradient.log10, abs=1e-9)


def test_dead_unit_has_a_gradient_of_exactly_zero() -> None:
    model, (x, y) = mlp(20, 30, 30, 4, activation=nn.ReLU), batch(1, 20)
    with torch.no_grad():
        dict(model.named_parameters())["2.bias"][5] = -1e3
    trace = hw.trace(model, x, y, parameter="2.weight[5,0]")
    assert trace.arrival is not None
    assert trace.arrival.error.sign == 0
    assert trace.gradient.value == 0.0
    assert trace.holds


class Twice(nn.Module):
    """A layer that runs at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.out = nn.Linear(20, 20), nn.Linear(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.shared(self.shared(x).tanh()).tanh())


def test_what_is_no_single_product_has_none() -> None:
    x, y = batch(2, 20)
    assert hw.trace(Twice(), x, y, parameter="shared.weight[0,0]").arrival is None
    assert hw.trace(mlp(20, 30, 4), x, y, parameter="0.weight").arrival is None
    block = nn.Sequential(Block(3), nn.Flatten(), nn.Linear(3 * 16, 4))
    x, y = batch(2, 3, 4, 4)
    assert hw.trace(block, x, y, parameter="0.bn1.weight[0]").arrival is None


def test_penalty_on_the_weight_itself_is_no_product() -> None:
    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch).square().mean() + 0.1 * sum(p.square().sum() for p in model.parameters())

    experiment = hw.Experiment(lambda: mlp(20, 30, 4), lambda: [batch(1, 20)[0]], loss)
    assert hw.trace(experiment, parameter="0.weight[0,0]").arrival is None


@pytest.mark.parametrize("language", ["en", "ko"])
def test_terminal_and_page_say_the_product(language: str) -> None:
    x, y = batch(1, 20)
    trace = hw.trace(mlp(20, 30, 30, 4), x, y, parameter="2.weight[3,4]")
    with_many = hw.trace(mlp(20, 30, 30, 4), *batch(6, 20), parameter="2.weight[3,4]")
    words = Words.of(language)
    for one in (trace, with_many):
        own = one.arrival
        assert own is not None
        told = " ".join(" ".join(line.plain for line in one.lines(words, 80)).split())
        for face in (told, one.page(words)):
            assert ("leaves the way" if language == "en" else "길을 벗어납니다") in face
            assert f" × {precise(own.activation)}" in face
