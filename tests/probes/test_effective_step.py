"""What an optimizer meant to do is what it does in float64, and what is lost of it is what rounding loses."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    SparseAdam,
)

from headwater.kernels import reference
from headwater.probes import effective_step
from headwater.probes.effective_step import (
    below_epsilon_fraction,
    epsilon_of,
    intended_update,
    lost_to_rounding_fraction,
)

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
NAN, INF = math.nan, math.inf


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float64).numpy()


def parameter(*shape: int, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, dtype=torch.float64).to(dtype))


EPSILON = 1e-4
WITH_EPSILON: dict[str, Callable[..., Optimizer]] = {
    "Adam": lambda p: Adam(p, lr=0.01, eps=EPSILON),
    "AdamW": lambda p: AdamW(p, lr=0.01, eps=EPSILON, weight_decay=0.0),
    "NAdam": lambda p: NAdam(p, lr=0.01, eps=EPSILON),
    "RAdam": lambda p: RAdam(p, lr=0.01, eps=EPSILON),
    "Adamax": lambda p: Adamax(p, lr=0.01, eps=EPSILON),
    "SparseAdam": lambda p: SparseAdam(p, lr=0.01, eps=EPSILON),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, eps=EPSILON),
    "Adagrad": lambda p: Adagrad(p, lr=0.01, eps=EPSILON),
    "Adadelta": lambda p: Adadelta(p, eps=EPSILON**2),
    "Adafactor": lambda p: Adafactor(p, eps=(EPSILON, 1e-3)),
}


class TestEpsilon:
    @pytest.mark.parametrize("make", WITH_EPSILON.values(), ids=WITH_EPSILON.keys())
    def test_epsilon_is_where_the_gradient_sets_its_step_again(self, make: Callable[..., Optimizer]) -> None:
        weight = parameter(1)
        assert epsilon_of(make([weight]), weight) == pytest.approx(EPSILON)
        above = [self.step(make, EPSILON * factor) for factor in (1e4, 1e5)]
        below = [self.step(make, EPSILON * factor) for factor in (1e-5, 1e-4)]
        assert above[1] / above[0] == pytest.approx(1.0, rel=0.01)
        assert below[1] / below[0] == pytest.approx(10.0, rel=0.01)

    def step(self, make: Callable[..., Optimizer], gradient: float) -> float:
        """Size of the tenth step: RAdam's first five have no root in them."""
        weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = make([weight])
        dense = torch.full((1,), gradient, dtype=torch.float64)
        for _ in range(10):
            before = weight.detach().clone()
            weight.grad = dense.to_sparse() if isinstance(optimizer, SparseAdam) else dense.clone()
            optimizer.step()
        return float((weight.detach() - before).abs())

    @pytest.mark.parametrize("make", [SGD, ASGD, Rprop, LBFGS])
    def test_none_when_there_is_no_root(self, make: Callable[..., Optimizer]) -> None:
        weight = parameter(2)
        assert epsilon_of(make([weight], lr=0.1), weight) is None

    def test_epsilon_is_that_of_the_parameters_group(self) -> None:
        a, b, stranger = parameter(2), parameter(2), parameter(2)
        optimizer = Adam([{"params": [a]}, {"params": [b], "eps": 1e-3}])
        assert epsilon_of(optimizer, a) == 1e-8
        assert epsilon_of(optimizer, b) == 1e-3
        assert epsilon_of(optimizer, stranger) is None

    def test_epsilon_of_adafactor_is_by_default_that_of_the_dtype(self) -> None:
        for dtype in (torch.float32, torch.bfloat16):
            weight = parameter(2, dtype=dtype)
            assert epsilon_of(Adafactor([weight]), weight) == torch.finfo(dtype).eps

    def test_epsilon_of_other_packages_goes_by_name(self) -> None:
        class FusedAdam(SGD):
            pass

        class Shampoo(SGD):
            pass

        weight = parameter(2)
        for kind, epsilon in ((FusedAdam, 1e-6), (Shampoo, None)):
            optimizer = kind([weight], lr=0.1)
            optimizer.param_groups[0]["eps"] = 1e-6
            assert epsilon_of(optimizer, weight) == epsilon
        optimizer = FusedAdam([weight], lr=0.1)
        assert epsilon_of(optimizer, weight) is None
        optimizer.param_groups[0]["eps"] = (1e-30, 1e-3)
        assert epsilon_of(optimizer, weight) is None


@pytest.fixture(params=[3, 1 << 20], ids=["small chunks", "one chunk"])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effective_step, "_CHUNK", request.param)


@pytest.mark.usefixtures("_chunks")
class TestBelowEpsilon:
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_fraction_is_the_definition(self, dtype: torch.dtype) -> None:
        gradient = (torch.randn(9, 7, 41) * 10 ** torch.empty(9, 7, 41).uniform_(-6, 0)).to(dtype)
        gradient[0] = 0.0
        for epsilon in (1e-8, 1e-3, float(gradient[1, 1, 1].abs())):
            found = below_epsilon_fraction(gradient, epsilon)
            assert found == reference.below_epsilon_fraction(numpy(gradient), epsilon)
        assert 0.2 < (below_epsilon_fraction(gradient, 1e-3) or 0.0) < 0.8

    def test_numbers_that_are_not_finite_are_not_below(self) -> None:
        gradient = torch.tensor([NAN, INF, -INF, 0.0, 1e-9, 1.0])
        assert below_epsilon_fraction(gradient, 1e-8) == 1 / 5
        assert reference.below_epsilon_fraction(numpy(gradient), 1e-8) == 1 / 5

    def test_stored_values_count_when_sparse(self) -> None:
        values = torch.tensor([1e-9, 4e-9, 8e-9])
        gradient = torch.sparse_coo_tensor([[0, 2, 2]], values, (4,), check_invariants=True)
        assert below_epsilon_fraction(gradient, 1e-8) == 0.5  # the two at one place are one number

    def test_none_when_nothing_is_there(self) -> None:
        assert below_epsilon_fraction(torch.zeros(3), 1e-8) is None
        assert below_epsilon_fraction(torch.empty(0), 1e-8) is None

    def test_float64_is_not_rounded(self) -> None:
        gradient = torch.tensor([1e-8 * (1 + 1e-12)], dtype=torch.float64)
        assert below_epsilon_fraction(gradient, 1e-8) == 0.0


def weights_of(dtype: torch.dtype, smallest: float) -> Tensor:
    """Weights of all sizes down to ``smallest``, powers of two and zeros among them."""
    sizes = smallest * (1.0 / smallest) ** torch.rand(4000, dtype=torch.float64)
    powers = 2.0 ** torch.randint(int(math.log2(smallest)), 3, (1000,)).double()
    signs = torch.randint(0, 2, (5000,)).double() * 2 - 1
    return torch.cat([torch.cat([sizes, powers]) * signs, torch.zeros(1000, dtype=torch.float64)]).to(dtype)


@pytest.mark.usefixtures("_chunks")
class TestLostToRounding:
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_fraction_is_the_definition(self, dtype: torch.dtype) -> None:
        weight = weights_of(dtype, smallest=torch.finfo(dtype).smallest_normal * 16)
        update = weight.double() * torch.randn(len(weight)) * torch.finfo(dtype).eps
        update[::7] = 0.0
        found = lost_to_rounding_fraction(update, weight)
        assert found == reference.lost_to_rounding_fraction(numpy(update), numpy(weight), torch.finfo(dtype).eps)
        assert found is not None
        assert 0.2 < found < 0.8

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_fraction_is_what_addition_does_down_to_zero(self, dtype: torch.dtype) -> None:
        spacing = torch.finfo(dtype)
        smallest = spacing.smallest_normal * spacing.eps
        weight = weights_of(dtype, smallest)
        update = (weight.double().abs() * spacing.eps + smallest) * torch.randn(len(weight), dtype=torch.float64)
        stayed = (weight.double() + update).to(dtype) == weight
        assert 0.2 < float(stayed.double().mean()) < 0.8
        assert lost_to_rounding_fraction(update, weight) == float(stayed.double().mean())

    def test_fraction_is_what_addition_does_in_float64(self) -> None:
        weight = weights_of(torch.float64, 1e-300)
        update = weight * torch.randn(len(weight), dtype=torch.float64) * 2.0**-53
        weight[0], update[0] = torch.finfo(torch.float64).max, -1e295  # 2**1024 is no float64
        moving = update != 0
        stayed = (weight + update == weight)[moving]
        assert lost_to_rounding_fraction(update, weight) == float(stayed.double().mean())

    def test_powers_of_two_have_less_room_towards_zero(self) -> None:
        one = torch.ones(1)
        assert lost_to_rounding_fraction(torch.tensor([2.0**-24 * 0.9]), one) == 1.0
        assert lost_to_rounding_fraction(torch.tensor([-(2.0**-24) * 0.9]), one) == 0.0
        assert lost_to_rounding_fraction(torch.tensor([-(2.0**-25) * 0.9]), one) == 1.0

    def test_none_when_nothing_moves(self) -> None:
        assert lost_to_rounding_fraction(torch.zeros(3), torch.ones(3)) is None
        assert lost_to_rounding_fraction(torch.empty(0), torch.empty(0)) is None

    def test_weights_that_are_not_finite_lose_nothing(self) -> None:
        weight = torch.tensor([NAN, INF, -INF, 1.0])
        assert lost_to_rounding_fraction(torch.full((4,), 1e-9), weight) == 1 / 4

    def test_shape_and_strides_do_not_matter(self) -> None:
        weight = torch.randn(5, 6).to(torch.bfloat16)
        update = torch.randn(5, 6, dtype=torch.float64) * 0.003
        flat = lost_to_rounding_fraction(update.flatten(), weight.flatten())
        assert lost_to_rounding_fraction(update.T, weight.T) == flat
        assert flat is not None
        assert 0 < flat < 1


SETTINGS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {}),
    "sgd decay": (SGD, {"weight_decay": 0.1}),
    "sgd maximize": (SGD, {"maximize": True, "weight_decay": 0.1}),
    "sgd momentum": (SGD, {"momentum": 0.9}),
    "sgd dampening": (SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd nesterov": (SGD, {"momentum": 0.8, "nesterov": True}),
    "sgd nesterov all": (SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    "adam": (Adam, {}),
    "adam betas and eps": (Adam, {"betas": (0.7, 0.99), "eps": 0.1}),
    "adam decay": (Adam, {"weight_decay": 0.1}),
    "adam decoupled": (Adam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adam amsgrad": (Adam, {"amsgrad": True, "betas": (0.5, 0.6)}),
    "adam maximize": (Adam, {"maximize": True, "weight_decay": 0.1}),
    "adamw": (AdamW, {"weight_decay": 0.1}),
    "adamw all": (AdamW, {"weight_decay": 0.1, "amsgrad": True, "maximize": True, "betas": (0.5, 0.6)}),
    "adamw no decay": (AdamW, {"weight_decay": 0.0}),
}
HOW: dict[str, dict[str, Any]] = {
    "plainly": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "tensor rate": {"lr": torch.tensor(0.05, dtype=torch.float64), "foreach": False},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
@pytest.mark.parametrize(("kind", "settings"), SETTINGS.values(), ids=SETTINGS.keys())
def test_intended_update_is_the_step_in_float64(
    kind: type[Optimizer], settings: dict[str, Any], how: dict[str, Any]
) -> None:
    weights = [parameter(3, 4), parameter(5)]
    optimizer = kind([{"params": weights[:1], **settings}, {"params": weights[1:]}], **{"lr": 0.05, **how})
    # The second group has other settings than the first: a mixed-up group shows.
    for step in range(6):
        for weight in weights:
            # Smaller and smaller, so that the largest second moment is not the last.
            weight.grad = torch.randn_like(weight) * 0.3**step
        before = [weight.detach().clone() for weight in weights]
        gradients = [weight.grad.clone() for weight in weights if weight.grad is not None]
        optimizer.step()
        for weight, old, gradient in zip(weights, before, gradients, strict=True):
            update = intended_update(optimizer, weight, old, gradient)
            assert update is not None
            torch.testing.assert_close(update, weight.detach() - old, rtol=1e-12, atol=1e-15)


def test_intended_update_when_the_step_was_wrapped() -> None:
    """By a scheduler, and by torch: the first instance of a class, whose parent has none, wraps what it inherits."""

    class Named(Adam):
        step = Optimizer.profile_hook_step(Adam.step)

    weight = parameter(3)
    optimizer = Named([weight], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    optimizer.register_step_post_hook(lambda *_: None)
    for _ in range(3):
        weight.grad, before = torch.randn_like(weight), weight.detach().clone()
        optimizer.step()
        update = intended_update(optimizer, weight, before, weight.grad)
        torch.testing.assert_close(update, weight.detach() - before, rtol=1e-12, atol=1e-15)
        scheduler.step()


def test_intended_update_when_the_gradient_is_sparse() -> None:
    table = nn.Embedding(5, 2, sparse=True, dtype=torch.float64)
    optimizer = SGD(table.parameters(), lr=0.1)
    table(torch.tensor([1, 1, 4])).square().sum().backward()
    before = table.weight.detach().clone()
    optimizer.step()
    update = intended_update(optimizer, table.weight, before, table.weight.grad)
    torch.testing.assert_close(update, table.weight.detach() - before, rtol=1e-12, atol=1e-15)
    assert update is not None
    assert torch.equal(update[0], torch.zeros(2))


@pytest.mark.parametrize("kind", [NAdam, RAdam, RMSprop, Adagrad, Adamax, Adadelta, Rprop, ASGD])
def test_no_intended_update_of_other_optimizers(kind: type[Optimizer]) -> None:
    weight = parameter(3)
    optimizer = kind([weight], lr=0.1)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert intended_update(optimizer, weight, weight.detach(), weight.grad) is None


class Doubled(Adam):
    def step(self, closure: Any = None) -> Any:
        super().step(closure)
        return super().step(closure)


class Negated(SGD):
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data += group["lr"] * weight.grad


class NewAdamW(AdamW):
    def step(self, closure: Any = None) -> Any:
        return None


@pytest.mark.parametrize("kind", [Doubled, Negated, NewAdamW])
def test_no_intended_update_of_a_step_of_its_own(kind: type[Optimizer]) -> None:
    weight = parameter(3)
    optimizer = kind([weight], lr=0.1)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert intended_update(optimizer, weight, weight.detach(), weight.grad) is None


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {}], ids=["momentum", "plain"])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_no_intended_update_without_a_step(kind: type[Optimizer], settings: dict[str, Any]) -> None:
    weight, stranger = parameter(3), parameter(3)
    optimizer = kind([weight], lr=0.1, **(settings if kind is SGD else {}))
    gradient = torch.randn(3, dtype=torch.float64)
    optimizer.step()  # no gradient: nothing happens
    assert intended_update(optimizer, weight, weight.detach(), None) is None
    if kind is Adam or settings:
        assert intended_update(optimizer, weight, weight.detach(), gradient) is None
    assert intended_update(optimizer, stranger, stranger.detach(), gradient) is None
    wave = nn.Parameter(torch.randn(2, dtype=torch.complex64))
    optimizer = kind([wave], lr=0.1)
    wave.grad = torch.randn_like(wave)
    optimizer.step()
    assert intended_update(optimizer, wave, wave.detach(), wave.grad) is None


LOSSY = {
    "sgd": (SGD, {}, [torch.bfloat16, torch.float16, torch.float32]),
    "momentum": (SGD, {"momentum": 0.9}, [torch.bfloat16, torch.float16, torch.float32]),
    # Not in float16, where √v + ε is itself rounded to zero wherever a gradient is small.
    "adam": (Adam, {}, [torch.bfloat16, torch.float32]),
    "adamw": (AdamW, {"weight_decay": 0.0}, [torch.bfloat16, torch.float32]),
}


@pytest.mark.parametrize(
    ("kind", "settings", "dtype"),
    [
        pytest.param(kind, settings, dtype, id=f"{name} {dtype}")
        for name, (kind, settings, dtypes) in LOSSY.items()
        for dtype in dtypes
    ],
)
def test_lost_updates_are_the_weights_that_stay(
    kind: type[Optimizer], settings: dict[str, Any], dtype: torch.dtype
) -> None:
    weight = nn.Parameter(torch.randn(100_000).to(dtype))
    # Not a power of two: Adam's first step is the rate itself, and half an ulp exactly is a tie, lost by half of them.
    optimizer = kind([weight], lr=torch.finfo(dtype).eps * 0.3, **settings)
    for _ in range(3):
        weight.grad = torch.randn_like(weight)
        before, gradient = weight.detach().clone(), weight.grad.clone()
        optimizer.step()
        update = intended_update(optimizer, weight, before, gradient)
        assert update is not None
        assert update.dtype == torch.float64
        stayed = float((weight.detach() == before).double().mean())
        assert 0.1 < stayed < 0.95
        assert lost_to_rounding_fraction(update, before) == pytest.approx(stayed, abs=2e-3)


def test_nothing_of_the_optimizer_moves() -> None:
    weight = parameter(4, dtype=torch.float32)
    optimizer = AdamW([weight], amsgrad=True)
    weight.grad = torch.randn_like(weight)
    before = weight.detach().clone()
    optimizer.step()
    kept = {name: value.clone() for name, value in optimizer.state[weight].items()}
    gradient, after, random = weight.grad.clone(), weight.detach().clone(), torch.get_rng_state()
    update = intended_update(optimizer, weight, before, weight.grad)
    assert update is not None
    below_epsilon_fraction(weight.grad, 1e-8)
    lost_to_rounding_fraction(update, before)
    torch.testing.assert_close(dict(optimizer.state[weight]), kept, rtol=0, atol=0)
    torch.testing.assert_close([weight.grad, weight.detach()], [gradient, after], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
