"""Dropout against masks that are really drawn."""

import math

import numpy as np
import pytest

from headwater.records import InputError
from headwater.theory import (
    c_star,
    chi_1,
    correlation_map,
    dropout_c_star,
    dropout_correlation_map,
    dropout_critical_sigma_w2,
    dropout_depth_scale,
    dropout_sigma_w2,
    edge_of_chaos,
    length_map,
    nonlinearity,
    q_star,
)


@pytest.mark.parametrize("phi", ["relu", "tanh", "gelu"])
def test_maps_under_dropout_are_those_of_drawn_masks(phi: str) -> None:
    generator = np.random.default_rng(0)
    keep, q, c, sigma_w2, sigma_b2, n = 0.7, 0.8, 0.6, 1.3, 0.1, 400_000
    u1 = math.sqrt(q) * generator.standard_normal(n)
    u2 = c * u1 + math.sqrt(q * (1.0 - c * c)) * generator.standard_normal(n)
    f = nonlinearity(phi)
    x1, x2 = (f.phi(u) * (generator.random(n) < keep) / keep for u in (u1, u2))
    length = sigma_w2 * np.mean(x1**2) + sigma_b2
    assert length_map(phi, q, dropout_sigma_w2(sigma_w2, keep), sigma_b2) == pytest.approx(length, rel=0.01)
    shared = (sigma_w2 * np.mean(x1 * x2) + sigma_b2) / length
    assert dropout_correlation_map(phi, c, q, sigma_w2, sigma_b2, keep=keep) == pytest.approx(shared, abs=0.01)
    slope = np.mean((f.derivative(u1) * (generator.random(n) < keep) / keep) ** 2)
    assert chi_1(phi, q, dropout_sigma_w2(sigma_w2, keep)) == pytest.approx(sigma_w2 * slope, rel=0.01)


@pytest.mark.parametrize("keep", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("q", [0.1, 1.0, 7.0])
def test_critical_weights_of_relu_are_twice_the_keep_rate(keep: float, q: float) -> None:
    critical = dropout_critical_sigma_w2("relu", keep, q)
    assert critical == pytest.approx(2.0 * keep, rel=1e-12)
    assert length_map("relu", q, dropout_sigma_w2(critical, keep)) == pytest.approx(q, rel=1e-12)


def test_keeping_everything_changes_nothing() -> None:
    assert dropout_sigma_w2(1.7, keep=1.0) == 1.7
    plain = correlation_map("tanh", 0.4, 0.7, 1.5, 0.05)
    assert dropout_correlation_map("tanh", 0.4, 0.7, 1.5, 0.05, keep=1.0) == pytest.approx(plain, abs=1e-15)
    assert dropout_c_star("relu", 1.0, 2.0, keep=1.0) == c_star("relu", 1.0, 2.0) == 1.0
    assert dropout_depth_scale("relu", 1.0, 2.0, keep=1.0) == math.inf


def test_dropout_destroys_the_edge_of_chaos() -> None:
    edge = edge_of_chaos("tanh", sigma_b2=0.05)
    assert dropout_depth_scale("tanh", edge.q_star, edge.sigma_w2, 0.05, keep=1.0) > 1e6
    scales = []
    for keep in (0.99, 0.95, 0.9, 0.5):
        q = q_star("tanh", dropout_sigma_w2(edge.sigma_w2, keep), 0.05)
        likeness = dropout_c_star("tanh", q, edge.sigma_w2, 0.05, keep=keep)
        assert likeness < 1.0
        again = dropout_correlation_map("tanh", likeness, q, edge.sigma_w2, 0.05, keep=keep)
        assert again == pytest.approx(likeness, abs=1e-10)
        scales.append(dropout_depth_scale("tanh", q, edge.sigma_w2, 0.05, keep=keep))
    assert scales[0] < 100.0
    assert scales == sorted(scales, reverse=True)


def test_critical_relu_under_dropout_has_a_finite_depth() -> None:
    keep = 0.9
    likeness = dropout_c_star("relu", 1.0, 2.0 * keep, keep=keep)
    assert keep * correlation_map("relu", likeness, 1.0, 2.0) == pytest.approx(likeness, abs=1e-10)
    assert 0.0 < dropout_depth_scale("relu", 1.0, 2.0 * keep, keep=keep) < 20.0


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.1, math.nan, 50])
def test_what_is_no_keep_rate_is_refused(keep: float) -> None:
    for call in (
        lambda: dropout_sigma_w2(1.0, keep),
        lambda: dropout_critical_sigma_w2("relu", keep),
        lambda: dropout_correlation_map("relu", 0.5, 1.0, 2.0, keep=keep),
        lambda: dropout_c_star("relu", 1.0, 2.0, keep=keep),
        lambda: dropout_depth_scale("relu", 1.0, 2.0, keep=keep),
    ):
        with pytest.raises(InputError, match=r"keep is the share of units kept.*nn.Dropout\(p\) keeps 1 - p"):
            call()
    with pytest.raises(InputError, match="sigma_w2 is"):
        dropout_sigma_w2(-1.0, 0.5)
