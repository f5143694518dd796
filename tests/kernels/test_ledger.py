"""The ledger: many tensors of all kinds, measured now and read later."""

import math
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from headwater.kernels import cpu
from headwater.kernels.ledger import Ledger, dense, moments
from headwater.records import Moments
from tests.kernels.cases import (
    INF,
    NAN,
    NARROW,
    STRIDES,
    Tolerance,
    as_numpy,
    assert_same,
    expected,
    normal,
    of_dtype,
    using_threads,
)

TOLERANCE = Tolerance(8e-6, rounding=1e-18)
FIRST_ROWS = 256  # before the table has to grow


def a_few() -> list[Tensor]:
    """A tensor for each way there is to measure one, and none like another."""
    return [
        normal(5, dtype=torch.float32),
        normal(70_000, dtype=torch.float32),
        normal(4_100, dtype=torch.bfloat16),
        normal(3, 40, dtype=torch.float16).T,
        normal(17),
        torch.arange(9),
        torch.tensor([True, False]),
        torch.tensor([3 + 4j, 0j]),
        torch.eye(4).to_sparse(),
        torch.empty(0, dtype=torch.float32),
        torch.empty(0, dtype=torch.float64),
        torch.tensor([NAN, INF, 1.0]),
        torch.tensor([NAN, -INF, 2.0], dtype=torch.float64),
        torch.full((5,), NAN),
        torch.zeros(6),
        torch.zeros(6, dtype=torch.int64),
        torch.empty(3, device="meta"),
        1e-300 * normal(20, seed=2),
        1e300 * normal(20, seed=3),
    ]


def assert_holds(ledger: Ledger, rows: list[int], tensors: list[Tensor]) -> None:
    for row, tensor in zip(rows, tensors, strict=True):
        assert_same(ledger.moments(row), moments(tensor), TOLERANCE)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with using_threads(request.param):
        yield request.param


@pytest.mark.usefixtures("threads")
def test_rows_keep_tensors_apart() -> None:
    ledger = Ledger()
    for round_ in range(3):
        tensors = a_few()
        rows = [ledger.measure(tensor) for tensor in tensors]
        assert rows == list(range(len(tensors))), round_
        assert len(ledger) == len(tensors)
        assert_holds(ledger, rows, tensors)
        ledger.clear()


@pytest.mark.parametrize("before", [0, 1, FIRST_ROWS - 1, FIRST_ROWS, FIRST_ROWS + 1, 3 * FIRST_ROWS])
def test_rows_grow_when_others_came_before(before: int) -> None:
    """Rows that are held elsewhere take a number too; a row beyond the table would be written into foreign memory."""
    ledger, other, narrow = Ledger(), torch.arange(3), normal(100, dtype=torch.float32)
    rows = [ledger.measure(other) for _ in range(before)]
    rows += [ledger.measure(narrow) for _ in range(FIRST_ROWS + 2)]
    assert_holds(ledger, rows, [other] * before + [narrow] * (FIRST_ROWS + 2))
    assert ledger.nonfinite() == 0


def test_rows_grow_and_keep_what_was_measured() -> None:
    ledger = Ledger()
    tensors = [normal(1 + i % 130, dtype=NARROW[i % 3], seed=i) for i in range(5 * FIRST_ROWS)]
    rows = [ledger.measure(tensor) for tensor in tensors]
    assert_holds(ledger, rows, tensors)


def test_reserved_rows_have_places_of_their_own_after_growing() -> None:
    ledger = Ledger()
    first = ledger.measure(normal(100, dtype=torch.float32))
    tensors = [normal(1 + i % 90, dtype=torch.bfloat16, seed=i) for i in range(3 * FIRST_ROWS)]
    rows = [ledger.reserve(1) for _ in tensors]
    for row, tensor in zip(rows, tensors, strict=True):
        cpu.summarise(1, tensor.data_ptr(), tensor.numel(), ledger.address(row))
    assert_holds(ledger, [first, *rows], [normal(100, dtype=torch.float32), *tensors])


def test_cleared_rows_are_gone() -> None:
    ledger = Ledger()
    for tensor in a_few():
        ledger.measure(tensor)
    assert ledger.nonfinite() > 0
    ledger.clear()
    assert len(ledger) == ledger.nonfinite() == 0
    for read in (ledger.moments, ledger.counts, ledger.log10_rms):
        with pytest.raises(IndexError):
            read(0)
    # Neither a short tensor nor one without elements shows what a long one left in its row.
    for tensor in (torch.ones(2), torch.empty(0), torch.ones(2, dtype=torch.float64)):
        assert_same(ledger.moments(ledger.measure(tensor)), expected(tensor), TOLERANCE)


def test_measured_is_what_was_there_then() -> None:
    ledger = Ledger()
    tensors = [torch.ones(100), torch.ones(100, dtype=torch.float64), torch.ones(70_000)]
    rows = [ledger.measure(tensor) for tensor in tensors]
    for tensor in tensors:
        tensor.zero_()
    assert [ledger.moments(row).mean for row in rows] == [1.0, 1.0, 1.0]


def test_no_tensor_is_kept() -> None:
    ledger = Ledger()
    for make in (lambda: torch.ones(100), lambda: torch.ones(9, dtype=torch.float64), lambda: torch.ones(8, 9).T):
        tensor = make()
        ledger.measure(tensor)
        reference = weakref.ref(tensor)
        del tensor
        assert reference() is None


def test_merged_rows_are_their_tensors_together() -> None:
    ledger, tensors = Ledger(), [normal(n, dtype=torch.float32, seed=n) for n in (5, 5_000, 0, 77)]
    rows = [ledger.measure(tensor) for tensor in tensors]
    merged = ledger.merged(rows)
    assert merged is not None
    assert_same(merged, expected(torch.cat(tensors)), TOLERANCE)
    assert ledger.merged([]) is None
    assert ledger.merged(iter(rows[:1])) == ledger.moments(rows[0])


def test_counts_and_nonfinite_agree_with_moments() -> None:
    ledger, tensors = Ledger(), a_few()
    wanted = [moments(tensor) for tensor in tensors]
    for tensor, of_tensor in zip(tensors, wanted, strict=True):
        assert ledger.counts(ledger.measure(tensor)) == (of_tensor.count, of_tensor.nonfinite_count)
    assert ledger.nonfinite() == sum(of_tensor.nonfinite_count for of_tensor in wanted) == 9


def _log10_rms(tensor: Tensor) -> float:
    value = expected(tensor).log10_rms
    return -INF if value is None else value


LOGS = ["1e-30", "1e-43", "1e30", "1e-300", "1e300", "around 1e4", "zeros", "all nan", "many special", "smallest"]


@pytest.mark.parametrize("name", [*LOGS, "largest", "subnormals"])
@pytest.mark.parametrize("dtype", [torch.float64, *NARROW], ids=str)
def test_log10_rms_agrees_with_reference(dtype: torch.dtype, name: str) -> None:
    ledger, tensor = Ledger(), of_dtype(name, dtype)
    row = ledger.measure(tensor)
    wanted = _log10_rms(tensor)
    assert ledger.log10_rms(row) == pytest.approx(wanted, abs=1e-6)
    assert ledger.log10_rms_of_all([row]) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e-300, 1e300, 0.0])
def test_log10_rms_of_all_is_that_of_the_tensors_together(scale: float) -> None:
    ledger = Ledger()
    tensors = [normal(300, dtype=torch.float32), scale * normal(50), 1e-20 * normal(900, dtype=torch.bfloat16)]
    tensors += [torch.empty(0), torch.tensor([NAN, 3.0, -INF]), torch.tensor([NAN], dtype=torch.float64)]
    rows = [ledger.measure(tensor) for tensor in tensors]
    for chosen in (slice(None), slice(1, None), slice(1, 3), slice(1, 2), slice(3, 4), slice(0), slice(2, 4)):
        together = torch.cat([tensor.double() for tensor in tensors[chosen]] or [torch.empty(0)])
        assert ledger.log10_rms_of_all(rows[chosen]) == pytest.approx(_log10_rms(together), abs=1e-6)


def test_zeros_that_are_nowhere_written_count() -> None:
    """As forward-mode differentiation makes them: their address is 0."""
    zeros = torch._efficientzerotensor((4,))
    ledger = Ledger()
    row = ledger.measure(zeros)
    assert ledger.counts(row) == (4, 0)
    assert ledger.moments(row) == moments(zeros) == expected(torch.zeros(4))
    assert moments(torch._efficientzerotensor((4,), dtype=torch.float64)) == expected(torch.zeros(4))


def test_freed_memory_has_no_values() -> None:
    """As sharded training leaves behind of parameters that are not needed now."""
    freed = torch.ones(4)
    freed.untyped_storage().resize_(0)
    ledger = Ledger()
    assert ledger.moments(ledger.measure(freed)) == moments(freed) == Moments()


def test_what_cannot_be_measured_takes_no_row() -> None:
    ledger = Ledger()

    def measured(x: Tensor) -> Tensor:
        for tensor in (x, x.double()):
            with pytest.raises(RuntimeError):
                ledger.measure(tensor)
        return x.sum()

    torch.func.vmap(measured)(torch.ones(2, 3))
    assert len(ledger) == 0
    assert ledger.moments(ledger.measure(torch.ones(2))).count == 2


WITHOUT_COPY = ["transposed", "channels last", "channels last in 3d", "a size of one", "offset", "a number", "flipped"]
WITHOUT_COPY += ["a parameter"]


@pytest.mark.parametrize("view", STRIDES)
def test_dense_has_the_same_elements_in_one_piece(view: str) -> None:
    tensor = STRIDES[view](normal(6, 7, 8, dtype=torch.float32))
    result = dense(tensor)
    assert result.is_contiguous()
    assert not result.is_neg()
    assert result.dtype is tensor.dtype
    np.testing.assert_array_equal(np.sort(as_numpy(result), axis=None), np.sort(as_numpy(tensor), axis=None))
    if view in WITHOUT_COPY:
        assert result.data_ptr() == tensor.data_ptr()


def test_dense_copies_nothing_whatever_the_order_of_dimensions() -> None:
    tensor = normal(2, 3, 4, 5, dtype=torch.float32)
    orders: list[Callable[[Tensor], Tensor]] = [lambda t: t.permute(3, 1, 0, 2), lambda t: t.permute(1, 0, 2, 3)]
    for order in [*orders, lambda t: t.permute(0, 2, 3, 1)[None], lambda t: t.mT]:
        assert dense(order(tensor)).data_ptr() == tensor.data_ptr()


def test_rms_of_nothing_is_minus_infinity() -> None:
    assert Ledger().log10_rms_of_all([]) == -math.inf
