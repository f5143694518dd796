"""Shortcuts against a residual network that is really drawn."""

import math

import pytest
import torch

from headwater.records import InputError
from headwater.theory import branch_for_depth, chi_1, length_map, shortcut_chi_1, shortcut_length_map


@pytest.mark.parametrize(("skip", "branch"), [(1.0, 1.0), (1.0, 0.3), (0.8, 0.6)])
@pytest.mark.parametrize("phi", ["relu", "tanh"])
def test_maps_of_a_shortcut_are_those_of_a_drawn_network(phi: str, skip: float, branch: float) -> None:
    torch.manual_seed(0)
    width, blocks, sigma_w2, sigma_b2 = 1000, 4, 1.5, 0.2
    x = torch.randn(16, width, dtype=torch.float64, requires_grad=True)
    q, gain, h = 1.0, 1.0, x
    for _ in range(blocks):
        weight = torch.randn(width, width, dtype=torch.float64) * math.sqrt(sigma_w2 / width)
        bias = torch.randn(width, dtype=torch.float64) * math.sqrt(sigma_b2)
        h = skip * h + branch * (getattr(torch, phi)(h) @ weight.T + bias)
        gain *= shortcut_chi_1(phi, q, sigma_w2, skip=skip, branch=branch)
        q = shortcut_length_map(phi, q, sigma_w2, sigma_b2, skip=skip, branch=branch)
    assert h.square().mean().item() == pytest.approx(q, rel=0.05)
    cotangent = torch.randn_like(h)
    (gradient,) = torch.autograd.grad((h * cotangent).sum(), x)
    assert (gradient.square().mean() / cotangent.square().mean()).item() == pytest.approx(gain, rel=0.05)


def test_no_branch_is_the_identity_and_no_shortcut_the_plain_layer() -> None:
    assert shortcut_length_map("tanh", 0.7, 3.0, 1.0, branch=0.0) == 0.7
    assert shortcut_chi_1("tanh", 0.7, 3.0, branch=0.0) == 1.0
    assert shortcut_length_map("tanh", 0.7, 3.0, 1.0, skip=0.0) == length_map("tanh", 0.7, 3.0, 1.0)
    assert shortcut_chi_1("tanh", 0.7, 3.0, skip=0.0) == chi_1("tanh", 0.7, 3.0)


@pytest.mark.parametrize("blocks", [1, 10, 1000])
def test_branches_scaled_for_depth_stay_within_e(blocks: int) -> None:
    factor = shortcut_chi_1("relu", 1.0, 2.0, branch=branch_for_depth(blocks)) ** blocks
    assert 2.0 - 1e-9 <= factor <= math.e
    assert shortcut_chi_1("relu", 1.0, 2.0) ** blocks == pytest.approx(2.0**blocks)


def test_what_makes_no_shortcut_is_refused() -> None:
    with pytest.raises(InputError, match=r"skip is a factor and must be finite, got inf; skip=1.0 is a plain shortcut"):
        shortcut_chi_1("relu", 1.0, 2.0, skip=math.inf)
    with pytest.raises(InputError, match="branch is a factor"):
        shortcut_length_map("relu", 1.0, 2.0, branch=math.nan)
    with pytest.raises(InputError, match="depth is a number of layers"):
        branch_for_depth(0)
    with pytest.raises(InputError, match="q is the variance"):
        shortcut_chi_1("relu", 0.0, 2.0)
