"""Fans and variances against the modules and the initialisers of torch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from headwater.records import InputError
from headwater.theory import INITIALISATIONS, fans, initial_sigma_w2, weight_variance

MODULES: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(12, 7), (3, 12)),
    (nn.Conv1d(6, 10, 5, padding=2), (3, 6, 20)),
    (nn.Conv2d(6, 10, (3, 5), padding=(1, 2)), (3, 6, 12, 12)),
    (nn.Conv2d(6, 9, 3, padding=1, groups=3), (3, 6, 12, 12)),
    (nn.Conv2d(8, 8, 3, padding=1, groups=8), (3, 8, 12, 12)),
    (nn.Conv2d(4, 6, 4, stride=2, padding=1), (3, 4, 16, 16)),
    (nn.Conv3d(2, 3, 3, padding=1), (2, 2, 6, 6, 6)),
    (nn.ConvTranspose2d(6, 10, 3, padding=1), (3, 6, 12, 12)),
    (nn.ConvTranspose2d(6, 10, 4, stride=2, padding=1), (3, 6, 12, 12)),
    (nn.ConvTranspose2d(6, 9, 3, padding=1, groups=3), (3, 6, 12, 12)),
    (nn.ConvTranspose1d(4, 8, 6, stride=(3,), padding=2), (3, 4, 20)),
]


def counted(module: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    """fan_in and fan_out by counting: with weights of 1, an output is its terms and a gradient its outputs."""
    assert isinstance(module.weight, Tensor)
    nn.init.ones_(module.weight)
    x = torch.ones(shape, requires_grad=True)
    y = module(x) - (module.bias.reshape(1, -1, *[1] * (x.dim() - 2)) if module.bias is not None else 0)
    (back,) = torch.autograd.grad(y.sum(), x)
    # Away from the edges of the image, and on average over the places of a stride.
    middle = tuple(slice(size // 4, size // 4 + 6 if size > 11 else size - size // 4) for size in y.shape[2:])
    inner = tuple(slice(size // 3, size // 3 + 6 if size > 17 else size - size // 3) for size in x.shape[2:])
    return y[(slice(None), slice(None), *middle)].mean().item(), back[(slice(None), slice(None), *inner)].mean().item()


@pytest.mark.parametrize(("module", "shape"), MODULES, ids=lambda value: str(value))
def test_fans_are_those_one_can_count(module: nn.Module, shape: tuple[int, ...]) -> None:
    assert isinstance(module.weight, Tensor)
    found = fans(
        module.weight.shape,
        groups=getattr(module, "groups", 1),
        stride=getattr(module, "stride", 1) or 1,
        transposed=bool(getattr(module, "transposed", False)),
    )
    assert found == pytest.approx(counted(module, shape), rel=1e-5)


@pytest.mark.parametrize("shape", [(7, 12), (10, 6, 5), (10, 6, 3, 5)])
def test_fans_of_plain_layers_are_torchs(shape: tuple[int, ...]) -> None:
    assert fans(shape) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((64,), {}, r"a weight of shape \(64,\) has no fan_in.*biases and scales"),
        ((), {}, "has no fan_in"),
        ((0, 5), {}, "has no fan_in"),
        ((8, 4, 3, 3), {"groups": 3}, "groups=3 does not divide the 8 channels"),
        ((8, 4, 3, 3), {"groups": 0}, "groups=0 does not divide"),
        ((8, 4, 3, 3), {"stride": (2,)}, r"stride \(2,\) does not fit a kernel of shape \(3, 3\)"),
        ((8, 4, 3, 3), {"stride": 0}, "stride 0 does not fit"),
    ],
)
def test_what_has_no_fans_is_refused(shape: tuple[int, ...], options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fans(shape, **options)


DRAWN: list[tuple[str, float | None, Callable[[Tensor], object]]] = [
    ("lecun", None, lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
    ("he", None, nn.init.kaiming_normal_),
    ("he", None, nn.init.kaiming_uniform_),
    ("he", 1.2, lambda w: nn.init.kaiming_normal_(w, a=math.sqrt(2 / 1.44 - 1))),
    ("he_fan_out", None, lambda w: nn.init.kaiming_normal_(w, mode="fan_out")),
    ("xavier", None, nn.init.xavier_normal_),
    ("xavier", 5 / 3, lambda w: nn.init.xavier_uniform_(w, gain=5 / 3)),
    ("orthogonal", None, nn.init.orthogonal_),
    ("orthogonal", 1.4, lambda w: nn.init.orthogonal_(w, gain=1.4)),
    ("unit_normal", 0.01, lambda w: nn.init.normal_(w, std=0.01)),
    ("torch_default", None, lambda w: w.copy_(nn.Linear(w.shape[1], w.shape[0]).weight)),
]


@pytest.mark.parametrize(("name", "gain", "draw"), DRAWN)
@pytest.mark.parametrize("shape", [(300, 700), (700, 300)])
@torch.no_grad()
def test_variance_is_that_of_drawn_weights(
    name: str, gain: float | None, draw: Callable[[Tensor], object], shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    weight = torch.empty(shape)
    draw(weight)
    fan_out, fan_in = shape
    assert weight_variance(name, fan_in, fan_out, gain) == pytest.approx(weight.var().item(), rel=0.02)
    assert initial_sigma_w2(name, fan_in, fan_out, gain) == fan_in * weight_variance(name, fan_in, fan_out, gain)


def test_every_initialisation_is_drawn() -> None:
    assert {name for name, _, _ in DRAWN} == set(INITIALISATIONS)


def test_check_03_torchs_default_is_a_third() -> None:
    torch.manual_seed(0)
    linear, conv = nn.Linear(300, 3000), nn.Conv2d(64, 256, 3)
    assert linear.weight.var().item() * 300 == pytest.approx(0.333, abs=0.003)
    assert conv.weight.var().item() * fans(conv.weight.shape)[0] == pytest.approx(0.333, abs=0.005)
    assert linear.bias.var().item() * 300 == pytest.approx(1 / 3, abs=0.03)
    assert initial_sigma_w2("torch_default", 300, 3000) == pytest.approx(1 / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kaiming", 3, 3), "no initialisation 'kaiming': there are lecun, he, .*torch_default"),
        (("he", 0, 3), "fan_in must be positive, got 0"),
        (("he", 3, -1), "fan_out must be positive"),
        (("he", 3, 3, 0.0), "gain must be positive"),
        (("he", math.inf, 3), "fan_in must be positive"),
    ],
)
def test_what_has_no_variance_is_refused(arguments: tuple, message: str) -> None:
    for function in (weight_variance, initial_sigma_w2):
        with pytest.raises(InputError, match=message):
            function(*arguments)
