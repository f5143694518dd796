"""The theory against networks that are really drawn: what passes through a wide one is what the maps say."""

import math
from statistics import fmean

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.rules import exploding
from headwater.theory import (
    batch_norm_gradient_factor,
    batch_norm_linear_gradient_factor,
    chi_1,
    correlation_trajectory,
    depth_to_reach,
    gradient_trajectory,
    layer_norm_gradient_factor,
    length_trajectory,
    log_length_variance,
    q_star,
)
from tests.theory.networks import Layer, passage


def factor(phi: Layer, sigma_w2: float, depth: int, width: int, seeds: int = 3, skip: int = 0) -> float:
    """Geometric mean of the factor on |∂L/∂z| per layer over several draws."""
    return math.exp(fmean(passage(phi, sigma_w2, depth, width, seed).log_factor(skip) for seed in range(seeds)))


def test_check_04_default_relu_vanishes_by_the_root_of_a_sixth() -> None:
    theory = math.sqrt(chi_1("relu", 1.0, 1 / 3))
    assert theory == pytest.approx(math.sqrt(1 / 6), rel=1e-12)
    assert factor(torch.relu, 1 / 3, depth=30, width=300, seeds=6) == pytest.approx(0.408, abs=0.005)


def test_check_05_default_tanh_vanishes_by_the_root_of_a_third() -> None:
    # The signal dies out, so that tanh is linear in all but the first layers.
    assert math.sqrt(chi_1("tanh", 1e-9, 1 / 3)) == pytest.approx(math.sqrt(1 / 3), rel=1e-6)
    assert factor(torch.tanh, 1 / 3, depth=30, width=300, skip=3) == pytest.approx(0.577, abs=0.005)


def test_check_06_sigmoid_with_xavier_vanishes_fourfold() -> None:
    theory = math.sqrt(chi_1("sigmoid", q_star("sigmoid", 1.0), 1.0))
    assert theory == pytest.approx(0.236, abs=5e-4)
    assert factor(torch.sigmoid, 1.0, depth=30, width=300, skip=1) == pytest.approx(theory, abs=0.005)


def test_check_07_tanh_at_torchs_gain_explodes() -> None:
    q = q_star("tanh", 25 / 9)
    assert q == pytest.approx(1.178, abs=0.001)
    theory = math.sqrt(chi_1("tanh", q, 25 / 9))
    assert theory == pytest.approx(1.0999, abs=1e-4)
    runs = [passage(torch.tanh, 25 / 9, 40, 300, seed) for seed in range(3)]
    assert math.exp(fmean(run.log_factor(2) for run in runs)) == pytest.approx(1.100, abs=0.005)
    assert fmean(run.lengths()[-1] for run in runs) == pytest.approx(q, abs=0.02)


def plain(phi: type[nn.Module], gain: float, depth: int, width: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=gain / math.sqrt(width))
        nn.init.zeros_(linear.bias)
        layers += [linear, phi()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def checked(model: nn.Sequential) -> hw.Report:
    width = model[0].in_features
    assert isinstance(width, int)
    batch = (torch.randn(32, width), torch.randint(0, 10, (32,)))
    return hw.check(model, batch, lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]))


def test_check_07_verdict_comes_at_the_depth_theory_says() -> None:
    # 0.041 decades per layer reach the rule's three after 73 layers: neither 40, the depth of this check, nor 60 do.
    theory = math.sqrt(chi_1("tanh", q_star("tanh", 25 / 9), 25 / 9))
    reached = depth_to_reach(theory, 10.0**exploding.WARNING.decades)
    assert reached == 73
    for depth, symptoms in ((40, []), (100, ["exploding"])):
        report = checked(plain(nn.Tanh, 5 / 3, depth, 150))
        assert [finding.symptom for finding in report.findings] == symptoms
        assert (depth > reached) == bool(symptoms)


def test_check_08_selu_is_slightly_chaotic() -> None:
    assert math.sqrt(chi_1("selu", 1.0, 1.0)) == pytest.approx(1.0352, abs=5e-5)
    runs = [passage(torch.selu, 1.0, 60, 300, seed) for seed in range(3)]
    assert math.exp(fmean(run.log_factor() for run in runs)) == pytest.approx(1.035, abs=0.004)
    assert fmean(fmean(run.lengths()) for run in runs) == pytest.approx(1.0, abs=0.1)


def test_check_09_he_relu_keeps_its_gradient() -> None:
    assert gradient_trajectory("relu", 30, 2.0).tolist() == pytest.approx([1.0] * 31, rel=1e-9)
    assert factor(torch.relu, 2.0, depth=30, width=300, seeds=6) == pytest.approx(1.00, abs=0.02)


def cosine(x: Tensor) -> float:
    """Mean |cos| over pairs of samples."""
    unit = x / x.norm(dim=1, keepdim=True)
    pairs = torch.triu_indices(len(x), len(x), 1)
    return (unit @ unit.T)[pairs[0], pairs[1]].abs().mean().item()


def test_check_09_he_relu_merges_its_inputs() -> None:
    theory = correlation_trajectory("relu", 0.0, 100, 2.0)
    assert theory[10] == pytest.approx(0.8715, abs=5e-5)
    assert theory[100] == pytest.approx(0.99642, abs=5e-6)
    width = 800
    x = math.sqrt(width) * nn.init.orthogonal_(torch.empty(16, width, dtype=torch.float64))
    runs = [passage(torch.relu, 2.0, 11, width, seed, x=x).pre_activations[10] for seed in range(3)]
    assert fmean(cosine(run.detach()) for run in runs) == pytest.approx(theory[10], abs=0.02)

    # Given the layer below, units are independent draws of one normal vector over the inputs: a network far wider than
    # one could draw costs nothing this way, and 100 layers need it.
    torch.manual_seed(0)
    h = torch.linalg.qr(torch.randn(10_000, 16, dtype=torch.float64)).Q.T * 100.0
    for _ in range(101):
        z = torch.linalg.cholesky(h @ h.T / h.shape[1]) @ torch.randn_like(h)
        h = torch.relu(z) * math.sqrt(2.0)
    assert cosine(z) == pytest.approx(theory[100], abs=0.001)


def test_check_09_cosine_in_a_report_is_that_of_theory() -> None:
    # The gradient of this network is healthy; that its inputs have merged shows in the cosine alone.
    report = checked(plain(nn.ReLU, math.sqrt(2.0), 60, 300))
    theory = correlation_trajectory("relu", 0.0, 60, 2.0)
    cosines = {row.site.name: row.abs_cosine for row in report.flow.sites}
    for layer in (10, 30, 59):
        assert cosines[str(2 * layer)] == pytest.approx(theory[layer], abs=0.04)


def test_check_10_tanh_with_xavier_dies_out_as_one_over_twice_the_depth() -> None:
    # The l-th layer is the first but l - 1; the input of the first has variance 1.
    theory = length_trajectory("tanh", 99, 1.0)
    assert theory[[9, 49, 99]] == pytest.approx([0.0580, 0.0104, 0.0051], abs=5e-5)
    runs = [passage(torch.tanh, 1.0, 50, 400, seed).lengths() for seed in range(3)]
    assert fmean(run[9] for run in runs) == pytest.approx(0.0595, abs=0.005)
    assert fmean(run[49] for run in runs) == pytest.approx(0.0097, abs=0.001)

    # At layer 100 draws of this width differ by 40 %, so many are needed. Given the layer below, the units of one input
    # are independent: no matrix has to be drawn.
    torch.manual_seed(0)
    square = torch.ones(400, 1)
    for _ in range(100):
        z = torch.randn(400, 400) * square.sqrt()
        square = torch.tanh(z).square().mean(1, keepdim=True)
    assert z.square().mean().item() == pytest.approx(theory[99], rel=0.1)


def batch_norm(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / z.std(0, unbiased=False)


def layer_norm(z: Tensor) -> Tensor:
    return nn.functional.layer_norm(z, z.shape[1:])


def test_check_13_batch_norm_explodes_with_relu() -> None:
    assert batch_norm_gradient_factor("relu") == pytest.approx(math.sqrt(math.pi / (math.pi - 1.0)), rel=1e-12)
    runs = [passage(torch.relu, 1.0, 30, 400, seed, batch=256, normalise=batch_norm) for seed in range(2)]
    assert math.exp(fmean(run.log_factor(3) for run in runs)) == pytest.approx(1.208, abs=0.005)


@pytest.mark.parametrize(("phi", "function"), [("tanh", torch.tanh), ("sigmoid", torch.sigmoid)])
def test_batch_norm_explodes_with_saturating_activations_too(phi: str, function: Layer) -> None:
    run = passage(function, 1.0, 20, 400, 0, batch=256, normalise=batch_norm)
    theory = batch_norm_gradient_factor(phi)
    assert theory > 1.0
    assert math.exp(run.log_factor(3)) == pytest.approx(theory, abs=0.01)


@pytest.mark.parametrize("batch", [5, 8, 16])
def test_batch_norm_of_a_small_batch_explodes_even_without_an_activation(batch: int) -> None:
    runs = [passage(lambda z: z, 1.0, 30, 400, seed, batch=batch, normalise=batch_norm) for seed in range(3)]
    measured = math.exp(fmean(run.log_factor(3) for run in runs))
    assert measured == pytest.approx(batch_norm_linear_gradient_factor(batch), abs=0.015)
    assert batch_norm_gradient_factor("identity") == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("phi", "function", "wanted"),
    [("relu", torch.relu, 1.0), ("tanh", torch.tanh, 1.0853), ("sigmoid", torch.sigmoid, 0.391)],
)
def test_check_13_layer_norm_grows_by_the_ratio_of_gains(phi: str, function: Layer, wanted: float) -> None:
    runs = [passage(function, 1.0, 30, 400, seed, normalise=layer_norm) for seed in range(3)]
    assert layer_norm_gradient_factor(phi) == pytest.approx(wanted, abs=5e-4)
    assert math.exp(fmean(run.log_factor(3) for run in runs)) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("phi", [torch.relu, lambda z: nn.functional.leaky_relu(z, 0.1)], ids=["relu", "leaky"])
def test_check_14_weights_and_their_gradients_agree_in_every_layer(phi: Layer) -> None:
    run = passage(phi, 0.5, 30, 100, seed=0)
    products = [(weight.detach() * weight.grad).sum().item() for weight in run.weights if weight.grad is not None]
    assert len(products) == 30
    assert max(products) / min(products) == pytest.approx(1.0, abs=1e-6)
    # So the gradients of the weights are of one size, while those of the signal vanish unseen behind them.
    weights = [weight.grad.norm().item() for weight in run.weights if weight.grad is not None]
    assert 0.2 < weights[0] / weights[-1] < 5.0
    gradients = run.gradients()
    assert gradients[0] / gradients[-1] < 1e-7


def test_spread_of_gradients_over_draws_is_that_of_lengths() -> None:
    # What a finite width does on the way back is what it does on the way forward.
    logs = [2.0 * 19 * passage(torch.relu, 2.0, 20, 50, seed, batch=1).log_factor() for seed in range(200)]
    center = fmean(logs)
    spread = fmean((value - center) ** 2 for value in logs)
    assert spread == pytest.approx(log_length_variance("relu", [50] * 19), rel=0.3)
