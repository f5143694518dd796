"""Jobs on parameters and their gradients give what ``reference`` defines, alone and shared among threads."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headwater.kernels import cpu, jobs, reference
from headwater.kernels.ledger import NARROW, Ledger
from tests.kernels.cases import (
    FORMATS,
    INF,
    NAN,
    Format,
    Tolerance,
    any_bits,
    as_numpy,
    assert_same,
    blocks_of_bits,
    expected,
    normal,
    using_threads,
)
from tests.kernels.work import Numbers, Runs, Work, coherence, whole

SMALL_FORMATS = [written for written in FORMATS if written.dtype in NARROW]
every_dtype = pytest.mark.parametrize("dtype", NARROW, ids=str)
every_format = pytest.mark.parametrize("written", SMALL_FORMATS, ids=lambda written: str(written.dtype))


@pytest.fixture(params=[1, 2, 3], ids=["one thread", "two threads", "three threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(jobs, "_WORTH_SHARING", 1)
    with using_threads(request.param):
        yield request.param


def some(tensor: Tensor, length: int = 64) -> Runs:
    """Stretches in no order, of which two overlap, with both ends of the tensor among them."""
    last = tensor.numel() - length
    return Runs(np.array([last, 0, 1, last // 2, last // 3], np.int64), length)


def pair(dtype: torch.dtype, size: int = 9_007) -> tuple[Tensor, Tensor]:
    """Weights before and after a step; some are unchanged, and some go from far away to near zero."""
    before = normal(size, dtype=dtype)
    moved = before + (normal(size, seed=1) * torch.logspace(-9, 3, size, dtype=torch.float64)).to(dtype)
    return before, moved


SPECIAL_PAIRS: dict[str, tuple[list[float], list[float]]] = {
    "nan appears": ([1.0, 2.0, 3.0], [1.0, NAN, 3.5]),
    "inf appears": ([1.0, 2.0, 3.0], [1.0, -INF, 3.5]),
    "nan stays": ([1.0, NAN], [1.5, NAN]),
    "nan goes": ([1.0, NAN], [1.5, 2.0]),
    "inf stays": ([1.0, INF], [1.5, INF]),
    "inf turns": ([1.0, INF], [1.5, -INF]),
    "inf becomes nan": ([1.0, INF], [1.5, NAN]),
    "all nan": ([NAN, NAN], [NAN, NAN]),
    "all spoiled": ([1.0, 2.0], [NAN, INF]),
    "zeros": ([0.0, 0.0], [0.0, 1.0]),
    "zero of the other sign": ([0.0, 1.0], [-0.0, 1.0]),
    "nothing moves": ([3.0, 4.0], [3.0, 4.0]),
    "subnormal": ([1e-40, 2e-40, 1e-45], [1e-40, 3e-40, -1e-45]),
    "float16 subnormal": ([6e-8, 3e-5], [1.2e-7, -3e-5]),
    "large": ([6e4, -6e4], [-6e4, 6e4]),
    "largest": ([3e38, 1.0], [-3e38, 1.0]),
}


def assert_change(result: Numbers, before: Numbers, after: Numbers) -> None:
    """Σ w², Σ Δw², elements that stayed, and those that were spoiled, in the terms of ``reference``."""
    weight, update, unchanged, spoiled = result.tolist()
    with np.errstate(invalid="ignore"):  # infinity less infinity
        wanted_ratio = reference.update_ratio(before, after)
    ratio = math.sqrt(update / weight) if weight and not math.isnan(update) else None
    assert ratio == (None if wanted_ratio is None else pytest.approx(wanted_ratio, rel=1e-12))
    assert unchanged / max(1, before.size) == (reference.unchanged_fraction(before, after) or 0.0)
    assert spoiled == np.sum(np.isfinite(before) & ~np.isfinite(after))
    norm = reference.moments(before).norm
    assert math.sqrt(weight) == pytest.approx(norm or 0.0, rel=1e-12)


def assert_turn(result: Numbers, previous: Numbers, gradient: Numbers) -> None:
    """Σ g·g₋₁, Σ g² and Σ g₋₁², in the terms of ``reference``."""
    product, square, before = result.tolist()
    wanted = reference.gradient_cosine(gradient, previous)
    norms = math.sqrt(square) * math.sqrt(before)
    cosine = product / norms if norms and math.isfinite(product / norms) else None
    assert cosine == (None if wanted is None else pytest.approx(wanted, abs=1e-12))


@pytest.mark.usefixtures("threads")
@every_dtype
def test_changes_agree_with_reference(dtype: torch.dtype) -> None:
    before, after = pair(dtype)
    for runs in (whole(before), some(before), some(before, 1), some(before, 1_000), Runs(np.empty(0, np.int64), 64)):
        keeping, comparing = Work(), Work()
        kept = keeping.keep(before, runs)
        keeping.run()
        np.testing.assert_array_equal(kept, runs.of(before))
        change = comparing.compare(after, runs, kept)
        comparing.run()
        assert_change(change, runs.of(before), runs.of(after))
        np.testing.assert_array_equal(kept, runs.of(before))  # as it was


@every_dtype
@pytest.mark.parametrize("name", SPECIAL_PAIRS)
def test_changes_when_values_are_special(dtype: torch.dtype, name: str) -> None:
    before, after = (torch.tensor(values, dtype=torch.float64).to(dtype) for values in SPECIAL_PAIRS[name])
    work = Work()
    kept = work.keep(before, whole(before))
    change = work.compare(after, whole(after), kept)
    work.run()
    np.testing.assert_array_equal(kept, as_numpy(before))
    assert_change(change, as_numpy(before), as_numpy(after))


@every_dtype
@pytest.mark.parametrize("name", SPECIAL_PAIRS)
def test_turns_when_values_are_special(dtype: torch.dtype, name: str) -> None:
    previous, gradient = (torch.tensor(values, dtype=torch.float64).to(dtype) for values in SPECIAL_PAIRS[name])
    before, work = as_numpy(previous).copy(), Work()
    products = work.turn(gradient, whole(gradient), before)
    work.run()
    assert_turn(products, as_numpy(previous), as_numpy(gradient))
    np.testing.assert_array_equal(before, as_numpy(gradient))


@pytest.mark.usefixtures("threads")
@every_dtype
def test_turns_agree_with_reference_step_after_step(dtype: torch.dtype) -> None:
    gradients = [normal(7_001, dtype=dtype, seed=seed) for seed in range(3)] + [-normal(7_001, dtype=dtype, seed=2)]
    for runs in (whole(gradients[0]), some(gradients[0])):
        before = np.zeros(runs.kept)
        for step, gradient in enumerate(gradients):
            work, previous = Work(), before.copy()
            products = work.turn(gradient, runs, before)
            work.run()
            assert_turn(products, previous, runs.of(gradient))
            np.testing.assert_array_equal(before, runs.of(gradient))
            cosine = products[0] / math.sqrt(products[1] * products[2]) if step else None
        assert cosine == pytest.approx(-1.0)


@every_format
@settings(max_examples=100)
@given(data=st.data())
def test_changes_and_turns_of_any_bits(written: Format, data: st.DataObject) -> None:
    before = written.tensor(data.draw(any_bits(written, 100) | blocks_of_bits(written)))
    after = written.tensor(np.resize(data.draw(any_bits(written, 100) | blocks_of_bits(written)), len(before)))
    work = Work()
    kept = work.keep(before, whole(before))
    change = work.compare(after, whole(after), kept)
    products = work.turn(after, whole(after), kept)
    work.run()
    np.testing.assert_array_equal(kept, as_numpy(after))
    assert_change(change, as_numpy(before), as_numpy(after))
    assert_turn(products, as_numpy(before), as_numpy(after))


WIDTHS = [1, 2, 63, 64, 65, 127, 200, 4_096, 5_000]


@pytest.mark.usefixtures("threads")
@every_dtype
@pytest.mark.parametrize("width", WIDTHS)
def test_sign_coherence_agrees_with_reference(dtype: torch.dtype, width: int) -> None:
    gradient = normal(24, width, dtype=dtype)
    gradient[::4] = gradient[::4].abs()
    gradient[1::4] = 0
    gradient[2, ::3] = -0.0
    gradient[5, ::2] = NAN
    gradient[6, -1] = INF
    gradient[7, 0] = -INF
    gradient[9] = NAN
    gradient[10, ::5] *= torch.finfo(dtype).smallest_normal / 2
    for units in (24, 1, 3):
        work = Work()
        signs = work.signs(gradient, units)
        work.run()
        assert coherence(signs) == pytest.approx(
            reference.sign_coherence(as_numpy(gradient).reshape(units, -1)), abs=1e-12
        )


@every_dtype
def test_sign_coherence_of_nothing_is_nan(dtype: torch.dtype) -> None:
    work = Work()
    nothing = [torch.zeros(3, 70), torch.full((3, 70), NAN), torch.empty(3, 0), torch.empty(0, 3)]
    results = [work.signs(gradient.to(dtype), gradient.shape[0]) for gradient in nothing]
    work.run()
    assert [result[1] for result in results[:2]] == [0.0, 0.0]
    assert all((result == -7.0).all() for result in results[2:])  # nothing was asked for


@every_format
@settings(max_examples=100)
@given(data=st.data())
def test_sign_coherence_of_any_bits(written: Format, data: st.DataObject) -> None:
    gradient = written.tensor(data.draw(any_bits(written) | blocks_of_bits(written)))
    units = data.draw(st.sampled_from([n for n in (1, 2, 3, 64) if gradient.numel() % n == 0]))
    work = Work()
    signs = work.signs(gradient, units)
    work.run()
    if gradient.numel():
        wanted = reference.sign_coherence(as_numpy(gradient).reshape(units, -1))
        assert coherence(signs) == pytest.approx(math.nan if wanted is None else wanted, abs=1e-12, nan_ok=True)


@pytest.mark.usefixtures("threads")
def test_jobs_of_all_kinds_do_not_meet() -> None:
    """Sizes from nothing to most of the work, so that the threads' shares end anywhere."""
    sizes = [0, 1, 70_000, 3, 64, 0, 5_000, 9_000, 12, 130_000, 1, 0]
    tensors = [normal(size, dtype=list(NARROW)[i % 3], seed=i) for i, size in enumerate(sizes)]
    ledger, work = Ledger(), Work()
    rows = [ledger.reserve(NARROW[tensor.dtype]) for tensor in tensors]
    kept = [work.keep(tensor, whole(tensor)) for tensor in tensors]
    coherences = [work.signs(tensor, 1) for tensor in tensors]
    for row, tensor in zip(rows, tensors, strict=True):
        work.add(cpu.SUMMARISE, tensor, tensor.numel(), ledger.address(row))
    work.run()
    for row, tensor, copy, signs in zip(rows, tensors, kept, coherences, strict=True):
        assert_same(ledger.moments(row), expected(tensor), Tolerance(8e-6, rounding=1e-24))
        np.testing.assert_array_equal(copy, as_numpy(tensor))
        if tensor.numel():
            assert coherence(signs) == pytest.approx(reference.sign_coherence(as_numpy(tensor).reshape(1, -1)))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("elements", [0, 1])
def test_jobs_may_be_none_or_read_nothing(elements: int) -> None:
    Work().run()
    work, tensor = Work(), normal(elements, dtype=torch.float32)
    kept = [work.keep(tensor, whole(tensor)) for _ in range(5)]
    work.run()
    for copy in kept:
        np.testing.assert_array_equal(copy, as_numpy(tensor))


@pytest.mark.usefixtures("threads")
def test_a_tensor_summarised_in_parts_is_the_whole() -> None:
    tensor, ledger, work = normal(100_003, dtype=torch.float32), Ledger(), Work()
    bounds = [0, 1, 65, 4_096, 50_000, 100_003]
    rows = [ledger.reserve(0) for _ in bounds[1:]]
    for row, start, stop in zip(rows, bounds, bounds[1:], strict=False):
        work.add(cpu.SUMMARISE, tensor[start:stop], stop - start, ledger.address(row))
    work.run()
    merged = ledger.merged(rows)
    assert merged is not None
    assert_same(merged, expected(tensor), Tolerance(8e-6, rounding=1e-24))
