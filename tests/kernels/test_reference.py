"""The definitions, each with a number that can be checked by hand."""

import math

import numpy as np
import pytest

from headwater.kernels import reference
from headwater.kernels.reference import moments

NAN, INF = math.nan, math.inf


def array(*rows: object) -> reference.Array:
    return np.array(rows, dtype=np.float64)


def test_moments_count_everything_once() -> None:
    result = moments([[1.0, -2.0, 0.0, 1e-40], [NAN, INF, -INF, 0.5]])
    assert (result.count, result.nan_count, result.inf_count, result.zero_count) == (8, 1, 2, 1)
    assert result.subnormal_count == 1  # 1e-40 is none of float64, but of float32, which is assumed
    assert (result.min, result.max) == (-2.0, 1.0)
    assert result.log2_histogram == ((-133, 1), (-1, 1), (0, 1), (1, 1))
    assert result.mean == pytest.approx(-0.1)
    assert result.rms == pytest.approx(math.sqrt(5.25 / 5))


def test_moments_of_a_number_are_the_number() -> None:
    result = moments(-3.0)
    assert (result.count, result.mean, result.abs_mean, result.rms, result.std) == (1, -3.0, 3.0, 3.0, None)
    assert (result.exponent, result.scaled_mean) == (2, -0.75)


def test_moments_take_the_smallest_normal_number_of_the_dtype() -> None:
    assert moments([1e-40], tiny=2.3e-308).subnormal_count == 0
    assert moments([1e-5], tiny=float(np.finfo(np.float16).tiny)).subnormal_count == 1


def test_derivative_rms() -> None:
    assert reference.derivative_rms(array(1.0, 1.0, 0.0, 0.0)) == pytest.approx(math.sqrt(0.5))
    assert reference.derivative_rms(array()) is None


def test_saturated_fraction() -> None:
    slopes = array(0.25, 0.0126, -0.0124, 0.0124, NAN)  # 5 % of 0.25 is 0.0125
    assert reference.saturated_fraction(slopes, max_slope=0.25) == pytest.approx(2 / 5)
    assert reference.saturated_fraction(array(0.05, 0.0499), max_slope=1.0) == 0.5  # the bound itself is outside
    assert reference.saturated_fraction(array(), max_slope=1.0) is None


def test_dead_fraction() -> None:
    output = array([0.0, 0.0, 1.0, NAN], [0.0, 3.0, 1.0, 0.0])
    assert reference.dead_fraction(output) == 0.25
    assert reference.dead_fraction(output, derivative=array([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])) == 0.5
    assert reference.dead_fraction(output, derivative=array([0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0])) == 0.0
    assert reference.dead_fraction(np.empty((0, 3))) is None
    assert reference.dead_fraction(np.empty((3, 0))) is None


def test_unit_spread() -> None:
    assert reference.unit_spread(array([0.0, 4.0], [2.0, 2.0])) == pytest.approx(math.sqrt(2.0))  # means 1 and 3
    assert reference.unit_spread(array([1.0], [2.0])) is None
    assert reference.unit_spread(np.empty((0, 2))) is None


def test_abs_cosine() -> None:
    assert reference.abs_cosine(array([1.0, 0.0], [-2.0, 0.0])) == pytest.approx(1.0)
    assert reference.abs_cosine(array([1.0, 0.0], [0.0, 3.0], [1.0, 1.0])) == pytest.approx(math.sqrt(2.0) / 3)
    assert reference.abs_cosine(array([1e-300, 1e-300], [1e300, 0.0])) == pytest.approx(math.sqrt(0.5))
    assert reference.abs_cosine(array([3.0, 4.0], [0.0, 0.0], [NAN, 1.0], [4.0, 3.0])) == pytest.approx(24 / 25)
    assert reference.abs_cosine(array([3.0, 4.0], [0.0, 0.0])) is None
    assert reference.abs_cosine(np.empty((3, 0))) is None


def test_effective_rank() -> None:
    square = array([1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0])
    assert reference.effective_rank(square) == pytest.approx(2.0)  # two equal energies
    assert reference.effective_rank(square + 7.0) == pytest.approx(2.0)  # centred
    assert reference.effective_rank(square * 1e-300) == pytest.approx(2.0)
    assert reference.effective_rank(square * [1.0, 0.0]) == pytest.approx(1.0)
    # Energies 9 and 1: exp(-(.9 ln .9 + .1 ln .1)) = 1.3841
    assert reference.effective_rank(square * [3.0, 1.0]) == pytest.approx(1.3841, abs=5e-5)
    assert reference.effective_rank(np.full((5, 3), 0.1)) == 1.0  # all inputs have merged
    assert reference.effective_rank(array([1.0, 2.0], [NAN, 0.0])) is None
    assert reference.effective_rank(np.empty((3, 0))) is None


def test_collapse_reads_the_first_64_samples() -> None:
    samples = np.ones((70, 2))
    samples[64:] = [1.0, -1.0]
    assert reference.abs_cosine(samples) == pytest.approx(1.0)
    assert reference.effective_rank(samples) == 1.0
    samples[63] = [1.0, -1.0]
    assert reference.abs_cosine(samples) == pytest.approx(62 / 64)  # 63 of 64 · 63 / 2 pairs are at right angles
    assert reference.effective_rank(samples) == pytest.approx(1.0)


def test_gain() -> None:
    assert reference.gain(moments([3.0, 4.0]), moments([1.0, 1.0])) == pytest.approx(math.sqrt(12.5))
    assert reference.gain(moments([1e-300]), moments([2e-300])) == pytest.approx(0.5)
    assert reference.gain(moments([1e300]), moments([1e-300])) == INF
    assert reference.gain(moments([1.0]), moments([0.0])) is None
    assert reference.gain(moments([]), moments([1.0])) is None


def test_sign_coherence() -> None:
    assert reference.sign_coherence(array([1.0, 2.0, 3.0], [-1.0, -5.0, -0.1])) == 1.0
    assert reference.sign_coherence(array([1.0, 2.0, -3.0, 1.0])) == 0.5
    assert reference.sign_coherence(array([1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, -1.0, 0.0])) == 0.5
    assert reference.sign_coherence(array([NAN, -1.0, -2.0], [NAN, NAN, NAN])) == 1.0
    assert reference.sign_coherence(np.ones((2, 3, 4))) == 1.0
    assert reference.sign_coherence(np.zeros((2, 3))) is None
    assert reference.sign_coherence(np.empty((0, 3))) is None


def test_gradient_cosine() -> None:
    assert reference.gradient_cosine(array([1.0, 0.0]), array([-3.0, 0.0])) == pytest.approx(-1.0)
    assert reference.gradient_cosine(array([3e-300, 4e-300]), array([4e300, 3e300])) == pytest.approx(24 / 25)
    assert reference.gradient_cosine(array(0.0, 0.0), array(1.0, 0.0)) is None
    assert reference.gradient_cosine(array(NAN, 1.0), array(1.0, 0.0)) is None


def test_update_ratio() -> None:
    assert reference.update_ratio(array(3.0, 4.0), array(3.0, 4.5)) == pytest.approx(0.1)
    assert reference.update_ratio(array(1e-200), array(1.5e-200)) == pytest.approx(0.5)
    assert reference.update_ratio(array(2.0), array(2.0)) == 0.0
    assert reference.update_ratio(array(0.0), array(2.0)) is None
    assert reference.update_ratio(array(), array()) is None


def test_unchanged_fraction() -> None:
    assert reference.unchanged_fraction(array(1.0, 2.0, 3.0, NAN), array(1.0, 2.5, 3.0, NAN)) == 0.5
    assert reference.unchanged_fraction(array(), array()) is None


def test_below_epsilon_fraction() -> None:
    assert reference.below_epsilon_fraction(array(1e-9, -1e-9, 1e-7, 1e-8, 0.0), epsilon=1e-8) == 0.5
    assert reference.below_epsilon_fraction(array(0.0), epsilon=1e-8) is None


def test_lost_to_rounding_fraction() -> None:
    weight = array(1.5, 1.5, 1.5, 0.0, 12.0, 12.0)
    update = array(5e-8, -7e-8, 0.0, 1e-30, 4e-7, 5e-7)  # half ulps: 5.96e-8 at 1.5, 4.77e-7 at 12
    assert reference.lost_to_rounding_fraction(update, weight, epsilon=2.0**-23) == pytest.approx(2 / 5)
    assert reference.lost_to_rounding_fraction(np.zeros(2), np.ones(2), epsilon=2.0**-23) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_lost_to_rounding_is_what_addition_does(dtype: type[np.floating]) -> None:
    generator = np.random.default_rng(0)
    weight = np.concatenate([generator.normal(size=500), [0.0, 1.0, -1.0, 0.5, 2.0] * 100]).astype(dtype)
    sizes = 10.0 ** generator.uniform(-9, -2, len(weight))
    update = (np.abs(weight) * sizes * generator.choice([-1, 1], len(weight))).astype(dtype)
    update[weight == 0] = np.finfo(dtype).tiny
    lost = np.mean((weight + update == weight)[update != 0])
    assert 0.1 < lost < 0.9
    fraction = reference.lost_to_rounding_fraction(
        update.astype(np.float64), weight.astype(np.float64), epsilon=float(np.finfo(dtype).eps)
    )
    assert fraction == lost


def test_time_step_rms() -> None:
    gradient = np.array([[[3e-300, 4e-300]], [[0.0, 0.0]], [[NAN, NAN]], [[2.0, -2.0]]])
    assert reference.time_step_rms(gradient) == (pytest.approx(math.sqrt(12.5) * 1e-300), 0.0, None, 2.0)
    assert reference.time_step_rms(np.empty((0, 1, 2))) == ()


def test_attention_entropy() -> None:
    assert reference.attention_entropy(array([0.0, 1.0, 0.0])) == 0.0
    assert reference.attention_entropy(np.full((2, 3, 4), 0.25)) == pytest.approx(math.log(4.0))
    assert reference.attention_entropy(array([0.5, 0.5], [1.0, 0.0])) == pytest.approx(math.log(2.0) / 2)
    # A row that is masked altogether is NaN: it looks nowhere, not at one key.
    assert reference.attention_entropy(array([0.5, 0.5], [NAN, NAN])) == pytest.approx(math.log(2.0))
    assert reference.attention_entropy(array([NAN, NAN])) is None
    assert reference.attention_entropy(np.empty((0, 4))) is None


def test_attention_logit_max() -> None:
    assert reference.attention_logit_max(array([-INF, -3.0], [-5.0, NAN])) == -3.0
    assert reference.attention_logit_max(array(-INF)) is None
