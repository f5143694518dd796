"""Every entry of the table against the torch functions it stands for."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from headwater.theory import ACTIVATIONS, Activation, find_kinks, nonlinearity, of_function, of_module

KINKS = [-6.0, -1.0, 0.0, 1.0, 6.0]
TAILS = [10.0, 20.0, 20.5, 37.0, 51.0, 100.0, 350.0, 800.0, 1e4]
GRID = torch.tensor(
    [*torch.arange(-8.0, 8.0, 0.01).tolist(), *KINKS, *TAILS, *(-x for x in TAILS)], dtype=torch.float64
)

# Parameters beside the defaults that users choose.
PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("leaky_relu", {"negative_slope": 0.2}),
    ("leaky_relu", {"negative_slope": 0.0}),
    ("prelu", {"weight": 0.7}),
    ("prelu", {"weight": -0.3}),
    ("elu", {"alpha": 2.0}),
    ("elu", {"alpha": 0.3}),
    ("softplus", {"beta": 3.0}),
    ("softplus", {"beta": 0.5, "threshold": 3.0}),
    ("hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("hardtanh", {"min_val": 0.0, "max_val": 6.0}),
    ("gelu", {"approximate": "tanh"}),
    ("gelu", {"approximate": "none"}),
]
CASES = [*((id_, {}) for id_ in ACTIVATIONS), *PARAMETERS]


def named(case: tuple[str, dict[str, Any]]) -> str:
    return " ".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


def module_of(activation: Activation, parameters: dict[str, Any]) -> nn.Module:
    """The torch module, made by the constructor the remedies print."""
    module: nn.Module = eval(activation.constructor, {"nn": nn})
    for name, value in parameters.items():
        assert hasattr(module, name), f"probes read {name!r} from {type(module).__name__}"
        setattr(
            module,
            name,
            nn.Parameter(torch.tensor([value], dtype=torch.float64)) if isinstance(module, nn.PReLU) else value,
        )
    return module.double()


def slope_by_autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope


@pytest.mark.parametrize(("id_", "parameters"), CASES, ids=map(named, CASES))
def test_phi_and_derivative_are_those_of_torch(id_: str, parameters: dict[str, Any]) -> None:
    activation = ACTIVATIONS[id_]
    module = module_of(activation, parameters)
    phi = torch.from_numpy(np.asarray(activation.phi(GRID.numpy(), **parameters)))
    slope = torch.from_numpy(np.asarray(activation.derivative(GRID.numpy(), **parameters)))
    # Torch's formulas lose what lies far below 1 to rounding; ours keep it, which the tails' own test holds.
    torch.testing.assert_close(phi, module(GRID).detach(), rtol=1e-12, atol=3e-14)
    torch.testing.assert_close(slope, slope_by_autograd(module, GRID), rtol=1e-12, atol=3e-14)


TAIL_VALUES = [
    ("sigmoid", 51.0, math.exp(-51.0)),
    ("sigmoid", -51.0, math.exp(-51.0)),
    ("sigmoid", 700.0, math.exp(-700.0)),
    ("sigmoid", 800.0, 0.0),
    ("tanh", 40.0, 4 * math.exp(-80.0)),
    ("tanh", -340.0, 4 * math.exp(-680.0)),
    ("tanh", 351.0, 4 * math.exp(-702.0)),
    ("tanh", 1000.0, 0.0),
    ("softsign", 1e150, 1e-300),
    ("elu", -51.0, math.exp(-51.0)),
    ("selu", -51.0, 1.0507009873554805 * 1.6732632423543772 * math.exp(-51.0)),
    ("softplus", -51.0, math.exp(-51.0)),
    ("silu", -51.0, -50.0 * math.exp(-51.0)),
    ("mish", -51.0, -50.0 * math.exp(-51.0)),
    ("mish", 1e300, 1.0),
    # Φ(x) + xφ(x), with Φ(-10) = 7.619853024160527e-24
    ("gelu", -10.0, 7.619853024160527e-24 - 10.0 * math.exp(-50.0) / math.sqrt(2.0 * math.pi)),
    ("gelu_tanh", 1e200, 1.0),
    ("gelu_tanh", -1e200, 0.0),
]


@pytest.mark.parametrize(("id_", "x", "slope"), TAIL_VALUES)
def test_derivative_keeps_its_value_in_the_tails(id_: str, x: float, slope: float) -> None:
    assert float(ACTIVATIONS[id_].derivative(np.array(x))) == pytest.approx(slope, rel=1e-11, abs=0.0)


def test_sigmoid_derivative_at_51_is_no_zero() -> None:
    assert float(ACTIVATIONS["sigmoid"].derivative(np.array(51.0))) == pytest.approx(7.1e-23, rel=0.01)


def test_gelu_tanh_keeps_its_value_in_the_tail() -> None:
    # x σ(2u) with 2u = √(8/π) (x + 0.044715 x³)
    u2 = math.sqrt(8.0 / math.pi) * (-6.0 - 0.044715 * 216.0)
    assert float(ACTIVATIONS["gelu_tanh"].phi(np.array(-6.0))) == pytest.approx(-6.0 / (1 + math.exp(-u2)), rel=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_nan_in_gives_nan_out(activation: Activation) -> None:
    x = np.array([math.nan, 0.5])
    assert list(np.isnan(activation.phi(x))) == [True, False]
    if activation.id != "identity":
        assert list(np.isnan(activation.derivative(x))) == [True, False]


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)], ids=str)
def test_shape_is_kept(activation: Activation, shape: tuple[int, ...]) -> None:
    x = np.linspace(-2.0, 2.0, math.prod(shape)).reshape(shape)
    assert np.shape(activation.phi(x)) == np.shape(activation.derivative(x)) == shape


def test_prelu_takes_a_slope_per_channel() -> None:
    x = np.array([[-1.0, -1.0, 2.0]])
    slopes = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(ACTIVATIONS["prelu"].phi(x, weight=slopes), [[-0.1, -0.2, 2.0]])
    np.testing.assert_allclose(ACTIVATIONS["prelu"].derivative(x, weight=slopes), [[0.1, 0.2, 1.0]])


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_derivative_jumps_at_the_kinks_and_nowhere_else(activation: Activation) -> None:
    x = np.arange(-25.0, 25.0, 0.5) + 0.0
    jumps = np.abs(activation.derivative(x + 1e-6) - activation.derivative(x - 1e-6)) > 1e-4
    # Quadrature needs to know of jumps in φ″ as well, and of those too small to see here.
    unseen = {"elu": {0.0}, "softsign": {0.0}, "softplus": {20.0}}.get(activation.id, set())
    assert {float(kink) for kink in x[jumps]} | unseen == set(activation.kinks)


@pytest.mark.parametrize(("id_", "parameters"), CASES, ids=map(named, CASES))
def test_kinks_move_with_the_parameters(id_: str, parameters: dict[str, Any]) -> None:
    activation = ACTIVATIONS[id_]
    found = find_kinks(lambda x: activation.phi(x, **parameters), lambda x: activation.derivative(x, **parameters))
    assert found == pytest.approx(nonlinearity(id_, **parameters).kinks, abs=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_constructor_makes_a_module_the_table_knows(activation: Activation) -> None:
    name = type(eval(activation.constructor, {"nn": nn})).__name__
    assert name == activation.modules[0]
    # The two GELUs share a class; the first stands for it and reads the module's own argument.
    assert of_module(name) is ACTIVATIONS["gelu" if activation.id == "gelu_tanh" else activation.id]


def test_gelu_reads_which_one_it_is() -> None:
    x = GRID.numpy()
    np.testing.assert_array_equal(ACTIVATIONS["gelu"].phi(x, approximate="tanh"), ACTIVATIONS["gelu_tanh"].phi(x))
    assert np.abs(ACTIVATIONS["gelu"].phi(x) - ACTIVATIONS["gelu_tanh"].phi(x)).max() > 1e-4


@pytest.mark.parametrize(
    "name", sorted({name for a in ACTIVATIONS.values() for name in a.modules if not hasattr(nn, name)})
)
def test_transformers_class_computes_the_entry(name: str) -> None:
    activations = pytest.importorskip("transformers.activations")
    assert hasattr(activations, name), f"{name} is no class of the pinned version of transformers"
    activation = of_module(name)
    assert activation is not None
    phi = torch.from_numpy(activation.phi(GRID.numpy()))
    torch.testing.assert_close(phi, getattr(activations, name)()(GRID), rtol=1e-7, atol=1e-7)


CALLS: list[tuple[str, Callable[..., Tensor], tuple[Any, ...]]] = [
    ("relu", F.relu, ()),
    ("relu", F.relu_, ()),
    ("relu", torch.relu, ()),
    ("relu", torch.relu_, ()),
    ("relu", Tensor.relu, ()),
    ("relu", Tensor.relu_, ()),
    ("relu6", F.relu6, ()),
    ("sigmoid", F.sigmoid, ()),
    ("sigmoid", torch.sigmoid, ()),
    ("sigmoid", torch.sigmoid_, ()),
    ("sigmoid", torch.special.expit, ()),
    ("sigmoid", Tensor.sigmoid, ()),
    ("sigmoid", Tensor.sigmoid_, ()),
    ("tanh", F.tanh, ()),
    ("tanh", torch.tanh, ()),
    ("tanh", torch.tanh_, ()),
    ("tanh", Tensor.tanh, ()),
    ("tanh", Tensor.tanh_, ()),
    ("softsign", F.softsign, ()),
    ("hardtanh", F.hardtanh, (-2.0, 0.5)),
    ("hardtanh", F.hardtanh_, (-2.0, 0.5)),
    ("leaky_relu", F.leaky_relu, (0.2,)),
    ("leaky_relu", F.leaky_relu_, (0.2,)),
    ("prelu", F.prelu, (0.3,)),
    ("prelu", torch.prelu, (0.3,)),
    ("prelu", Tensor.prelu, (0.3,)),
    ("elu", F.elu, (2.0,)),
    ("elu", F.elu_, (2.0,)),
    ("selu", F.selu, ()),
    ("selu", torch.selu, ()),
    ("selu", torch.selu_, ()),
    ("gelu", F.gelu, ()),
    ("silu", F.silu, ()),
    ("mish", F.mish, ()),
    ("softplus", F.softplus, (3.0, 5.0)),
]


class Heard(TorchFunctionMode):
    """Notes the name of every function a call goes through, as the probes do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("id_", "function", "arguments"), CALLS)
def test_function_is_known_by_the_name_torch_gives_it(
    id_: str, function: Callable[..., Tensor], arguments: tuple[Any, ...]
) -> None:
    tensors = [torch.tensor([a], dtype=torch.float64) if id_ == "prelu" else a for a in arguments]
    x = GRID.clone()
    with Heard() as heard:
        result = function(x, *tensors)
    activation = of_function(heard.names[0])
    assert activation is ACTIVATIONS[id_]
    # Its parameters stand in the table in the order in which the function takes them.
    named_arguments = dict(zip(activation.parameters, arguments, strict=False))
    wanted = torch.from_numpy(np.asarray(activation.phi(GRID.numpy(), **named_arguments)))
    torch.testing.assert_close(result, wanted, rtol=1e-12, atol=3e-14)


def test_every_function_name_of_the_table_is_tried() -> None:
    tried = {function.__name__ for _, function, _ in CALLS}
    assert {name for activation in ACTIVATIONS.values() for name in activation.functions} == tried


@pytest.mark.parametrize("name", ["add", "linear", "relu7", "dropout", "ReLU", "softmax", "swish", ""])
def test_function_that_is_no_activation_is_unknown(name: str) -> None:
    assert of_function(name) is None


@pytest.mark.parametrize("name", ["Linear", "relu", "Softmax", "LazyReLU", ""])
def test_module_that_is_no_activation_is_unknown(name: str) -> None:
    assert of_module(name) is None


@pytest.mark.parametrize(
    ("id_", "parameters", "slope"),
    [
        ("identity", {}, 1.0),
        ("sigmoid", {}, 0.25),
        ("tanh", {}, 1.0),
        ("softsign", {}, 1.0),
        ("hardtanh", {}, 1.0),
        ("relu", {}, 1.0),
        ("relu6", {}, 1.0),
        ("leaky_relu", {}, 1.0),
        ("leaky_relu", {"negative_slope": 3.0}, 3.0),
        ("prelu", {"weight": -1.5}, 1.5),
        ("elu", {}, 1.0),
        ("elu", {"alpha": 2.0}, 2.0),
        ("selu", {}, 1.0507009873554805 * 1.6732632423543772),
        # GELU's steepest point is √2: Φ(√2) + √2 φ(√2)
        ("gelu", {}, 0.5 * math.erfc(-1.0) + math.sqrt(2.0) * math.exp(-1.0) / math.sqrt(2.0 * math.pi)),
        ("gelu_tanh", {}, 1.1290),
        ("silu", {}, 1.0998),
        ("mish", {}, 1.0885),
        ("softplus", {}, 1.0),
        ("softplus", {"beta": 4.0}, 1.0),
    ],
)
def test_max_slope(id_: str, parameters: dict[str, Any], slope: float) -> None:
    assert ACTIVATIONS[id_].max_slope(**parameters) == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_homogeneous_are_those_that_scale_with_their_input(id_: str) -> None:
    activation, x = ACTIVATIONS[id_], GRID.numpy()
    scales = all(np.allclose(activation.phi(a * x), a * activation.phi(x), rtol=1e-12) for a in (0.3, 7.0))
    assert activation.is_homogeneous == scales


def entries() -> Iterator[Any]:
    rectifiers = {"relu", "leaky_relu", "prelu", "relu6"}
    smooth = {"elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "softplus"}
    for id_ in {"sigmoid", "tanh", "softsign", "hardtanh"}:
        yield id_, "s_shaped", "xavier"
    yield "identity", "identity", "xavier"
    yield from ((id_, "rectifier", "he") for id_ in rectifiers)
    yield from ((id_, "smooth_rectifier", "he") for id_ in smooth)


def test_family_and_initialisation_are_those_of_the_lectures() -> None:
    assert {(a.id, a.family, a.init) for a in ACTIVATIONS.values()} == set(entries())
    assert all(id_ == activation.id for id_, activation in ACTIVATIONS.items())
