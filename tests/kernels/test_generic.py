"""The torch kernels give what ``reference`` defines; test_kernels.py asks for the moments, beside other kernels."""

import math

import pytest
import torch
from torch import Tensor

from headwater.kernels import generic, reference
from headwater.records import Moments
from tests.kernels.cases import FLOATS, INF, NAN, SPECIAL, Tolerance, as_numpy, assert_same, expected, normal

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
TOLERANCE = Tolerance(1e-12, rounding=1e-24)  # all sums run in float64


@pytest.mark.parametrize("chunk", [1, 7, 14, 10_000])
def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(generic, "_CHUNK", chunk)
    tensor = torch.tensor(SPECIAL * 3, dtype=torch.float64)
    assert len(list(generic._chunks(tensor))) == math.ceil(len(tensor) / chunk)
    assert_same(generic.moments(tensor), expected(tensor), TOLERANCE)
    assert_rms(tensor)
    assert_rms(normal(9, 7, 41).mul(1e-200))


def test_meta_tensor_has_no_values() -> None:
    nowhere = torch.empty(3, 4, device="meta")
    assert generic.moments(nowhere) == Moments()
    assert generic.rms_log10(nowhere) == (-INF, 0)
    assert generic.update_ratio(nowhere, nowhere) is None


def assert_rms(tensor: Tensor) -> None:
    wanted = generic.moments(tensor)
    log, count = generic.rms_log10(tensor)
    assert count == wanted.finite_count
    assert log == (-INF if wanted.log10_rms is None else pytest.approx(wanted.log10_rms, abs=1e-12))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rms_log10_agrees_with_moments(dtype: torch.dtype, device: str) -> None:
    for values in (SPECIAL, [0.0], [], [NAN, INF], [NAN, 3.0, 4.0], [5e-324, 0.0]):
        assert_rms(torch.tensor(values, dtype=torch.float64).to(dtype).to(device))
    assert_rms(normal(9, 7, 41, dtype=dtype).transpose(0, 1))


def test_rms_log10_by_hand() -> None:
    log, count = generic.rms_log10(torch.tensor([3e-300, -4e-300, 0.0, NAN, INF], dtype=torch.float64))
    assert count == 3
    assert log == pytest.approx(math.log10(25 / 3) / 2 - 300, abs=1e-12)


SAMPLES: dict[str, Tensor] = {
    "normal": normal(9, 41),
    "more samples than are read": normal(70, 5),
    "more features than samples": normal(3, 123),
    "tiny": normal(9, 7) * 1e-300,
    "huge": normal(9, 7) * 1e300,
    "mixed scales": normal(9, 7) * 10.0 ** torch.arange(-120.0, 60.0, 20.0, dtype=torch.float64)[:, None],
    "merged": normal(1, 7).expand(9, 7),
    "nearly merged": normal(1, 7) + 1e-7 * normal(9, 7),
    "one direction": normal(9, 1) * normal(1, 7),
    "zeros": torch.zeros(5, 3, dtype=torch.float64),
    "all nan": torch.full((5, 3), NAN, dtype=torch.float64),
    "some not finite": torch.tensor([[1.0, 2.0], [NAN, 1.0], [INF, 0.0], [0.0, 0.0], [-2.0, 1.5], [0.3, 9.0]]),
    "one": normal(1, 7),
    "no samples": normal(0, 7),
    "no features": normal(7, 0),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES.keys())
def test_collapse_agrees_with_reference(samples: Tensor, device: str) -> None:
    cosine, rank = generic.collapse(samples.to(device))
    wanted = reference.abs_cosine(as_numpy(samples)), reference.effective_rank(as_numpy(samples))
    assert (cosine is None, rank is None) == (wanted[0] is None, wanted[1] is None)
    assert cosine is None or cosine == pytest.approx(wanted[0], abs=1e-12)
    assert rank is None or rank == pytest.approx(wanted[1], abs=1e-9)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_collapse_is_float64_whatever_the_dtype(dtype: torch.dtype) -> None:
    samples = (1 + normal(9, 41) / 64).to(dtype)
    wanted = reference.abs_cosine(as_numpy(samples)), reference.effective_rank(as_numpy(samples))
    assert generic.collapse(samples) == (pytest.approx(wanted[0], abs=1e-12), pytest.approx(wanted[1], abs=1e-9))
    with torch.autocast("cpu", torch.bfloat16):
        assert generic.collapse(samples) == generic.collapse(samples.clone())
        assert generic.collapse(samples)[0] == pytest.approx(wanted[0], abs=1e-12)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_saturated_fraction_agrees_with_reference(dtype: torch.dtype) -> None:
    for max_slope in (0.25, 1.0, 1.1, 1.7580993408473766):
        bound = torch.tensor(reference.SATURATION_SHARE * max_slope, dtype=torch.float64).to(dtype)
        slopes = torch.stack([bound, -bound, torch.nextafter(bound, 0 * bound), 2 * bound, NAN * bound, 0 * bound])
        assert generic.saturated_fraction(slopes, max_slope) == reference.saturated_fraction(
            as_numpy(slopes), max_slope
        )
    assert generic.saturated_fraction(normal(0, dtype=dtype), 1.0) is None
    assert generic.saturated_fraction(normal(9, 7, dtype=dtype).requires_grad_(), 1.0) is not None


@pytest.mark.parametrize("shape", [(9, 7), (1, 1), (0, 3), (3, 0), (123, 41)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dead_fraction_agrees_with_reference(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    output = normal(*shape, dtype=dtype).relu()
    output[:, ::3] = 0
    slopes = (output > 0).to(dtype)
    slopes[:, 1::3] = 0
    if output.numel():
        output[0, -1] = NAN
    for derivative in (None, slopes):
        wanted = reference.dead_fraction(as_numpy(output), None if derivative is None else as_numpy(derivative))
        assert generic.dead_fraction(output, derivative) == wanted
        assert generic.dead_fraction(output.T.contiguous().T, derivative) == wanted


def test_dead_units_by_hand() -> None:
    output = torch.tensor([[0.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    assert generic.dead_fraction(output) == pytest.approx(1 / 3)
    assert generic.dead_fraction(output, torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(5, 123), (9, 7, 41), (1,), (0, 3), (3, 0)], ids=str)
def test_sign_coherence_agrees_with_reference(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    gradient = normal(*shape, dtype=dtype)
    gradient[::4] = gradient[::4].abs()
    gradient[1::4] = 0
    wanted = reference.sign_coherence(as_numpy(gradient))
    assert generic.sign_coherence(gradient) == (None if wanted is None else pytest.approx(wanted, abs=1e-12))


def test_sign_coherence_when_values_are_special() -> None:
    gradient = torch.tensor([[NAN, -1.0, -2.0], [INF, -INF, 1e-45], [NAN, NAN, NAN], [0.0, -0.0, 0.0]])
    assert generic.sign_coherence(gradient) == pytest.approx((1 + 1 / 3) / 2)
    assert generic.sign_coherence(gradient) == pytest.approx(reference.sign_coherence(as_numpy(gradient)))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_updates_agree_with_reference(dtype: torch.dtype) -> None:
    before = normal(9, 7, 41, dtype=dtype)
    after = before + (normal(9, 7, 41) * torch.logspace(-9, 3, 41, dtype=torch.float64)).to(dtype)
    arrays = as_numpy(before), as_numpy(after)
    assert generic.update_ratio(before, after) == pytest.approx(reference.update_ratio(*arrays), rel=1e-12)
    assert generic.unchanged_fraction(before, after) == reference.unchanged_fraction(*arrays)
    empty = torch.empty(0, dtype=dtype)
    assert generic.update_ratio(empty, empty) is None
    assert generic.unchanged_fraction(empty, empty) is None


def test_updates_by_hand() -> None:
    before, after = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert generic.update_ratio(before, after) == pytest.approx(0.1)
    assert generic.unchanged_fraction(before, after) == 0.5
    assert generic.update_ratio(torch.zeros(2), after) is None
    # The difference is taken in float64: in float16 it would be Inf.
    assert generic.update_ratio(*torch.tensor([[6e4], [-6e4]], dtype=torch.float16)) == pytest.approx(2.0)
    assert generic.update_ratio(torch.tensor([1e-40]), torch.tensor([2e-40])) == pytest.approx(1.0, rel=1e-4)
    assert generic.unchanged_fraction(torch.tensor([NAN, 1.0]), torch.tensor([NAN, 1.0])) == 0.5


def test_complex_update_counts_both_parts() -> None:
    before = torch.tensor([3 + 4j], dtype=torch.complex64)
    assert generic.update_ratio(before, before + 0.5j) == pytest.approx(0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(64, 7), (32, 5, 3), (16, 4, 6, 6), (2, 1), (1, 3), (0, 4), (9, 0)])
def test_feature_scales_agree_with_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    axis = 1 if len(shape) > 3 else -1
    scales = torch.logspace(-2, 2, shape[axis]).view(-1, *[1] * (2 if axis == 1 else 0))
    samples = (torch.randn(shape) * scales).to(dtype)
    if samples.numel() > 3:
        samples.view(-1)[3] = float("nan")
    rows = as_numpy(samples.double().movedim(axis, -1)).reshape(samples.numel() // max(1, shape[axis]), shape[axis])
    decades, offset = generic.feature_scales(samples, axis)
    for found, wanted in ((decades, reference.feature_decades(rows)), (offset, reference.feature_offset(rows))):
        assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-12))
