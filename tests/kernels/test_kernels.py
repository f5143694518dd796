"""Every kernel gives what ``reference`` defines, over one table of tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headwater.kernels import cuda, generic
from headwater.kernels.ledger import Ledger, moments
from headwater.records import Moments
from tests.kernels.cases import (
    FLOATS,
    FORMATS,
    INF,
    LIMITS,
    NAN,
    SIZES,
    SPECIAL,
    STRIDES,
    VALUES,
    Format,
    Tolerance,
    any_bits,
    assert_same,
    blocks_of_bits,
    expected,
    expected_of,
    expected_of_normal,
    normal,
    of_dtype,
    using_threads,
)


@dataclass(frozen=True)
class Kernel:
    """A way to measure a tensor, and how well it does for float64 and for what is narrower."""

    name: str
    moments: Callable[[Tensor], Moments]
    wide: Tolerance
    narrow: Tolerance

    def tolerance(self, dtype: torch.dtype) -> Tolerance:
        return self.narrow if dtype in (torch.float32, torch.bfloat16, torch.float16) else self.wide


def _by_ledger(tensor: Tensor, threads: int = 1) -> Moments:
    ledger = Ledger()
    with using_threads(threads):
        return ledger.moments(ledger.measure(tensor))


IN_FLOAT64 = Tolerance(1e-12, rounding=1e-24)
# A float32 sum of 64 numbers loses 64 · 2**-24 of their magnitudes, and a mean that is taken off as much again.
IN_FLOAT32 = Tolerance(8e-6, rounding=1e-24)
BY_TORCH = Tolerance(1e-12, rounding=1e-18)  # `var_mean` keeps a running mean
ON_GPU = Tolerance(1e-11, rounding=1e-20), Tolerance(1e-6, rounding=1e-20)  # as in test_cuda.py

KERNELS = [
    Kernel("compiled", moments, IN_FLOAT64, IN_FLOAT32),
    Kernel("ledger", _by_ledger, IN_FLOAT64, IN_FLOAT32),
    Kernel("ledger with threads", partial(_by_ledger, threads=2), IN_FLOAT64, IN_FLOAT32),
    Kernel("generic", generic.moments, BY_TORCH, BY_TORCH),
]
# Only where there is a GPU: a thousand tests that are skipped would say no more.
GPU_KERNELS = [
    Kernel("generic on cuda", lambda tensor: generic.moments(tensor.cuda()), BY_TORCH, BY_TORCH),
    Kernel("cuda", lambda tensor: _by_ledger(tensor.cuda()), *ON_GPU),
][: torch.cuda.is_available() + cuda.available()]
every_kernel = pytest.mark.parametrize("kernel", KERNELS + GPU_KERNELS, ids=lambda kernel: kernel.name)
every_kernel_once = pytest.mark.parametrize(
    "kernel", [kernel for kernel in KERNELS if kernel.name != "ledger"], ids=lambda kernel: kernel.name
)
on_cpu = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
every_dtype = pytest.mark.parametrize("dtype", FLOATS, ids=str)
every_format = pytest.mark.parametrize("written", FORMATS, ids=lambda written: str(written.dtype))


@every_kernel
@every_dtype
@pytest.mark.parametrize("size", SIZES)
def test_moments_when_size_varies(kernel: Kernel, dtype: torch.dtype, size: int) -> None:
    assert_same(kernel.moments(normal(size, dtype=dtype)), expected_of_normal(size, dtype), kernel.tolerance(dtype))


@every_kernel
@every_dtype
@pytest.mark.parametrize("name", [*VALUES, *LIMITS])
def test_moments_when_values_vary(kernel: Kernel, dtype: torch.dtype, name: str) -> None:
    assert_same(kernel.moments(of_dtype(name, dtype)), expected_of(name, dtype), kernel.tolerance(dtype))


@every_kernel
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (5, 123, 123), (9, 7, 41)], ids=str)
def test_moments_when_shape_varies(kernel: Kernel, shape: tuple[int, ...]) -> None:
    tensor = normal(*shape, dtype=torch.float32)
    assert_same(kernel.moments(tensor), expected(tensor), kernel.narrow)


@every_kernel
@every_dtype
@pytest.mark.parametrize("view", STRIDES)
def test_moments_when_strided(kernel: Kernel, dtype: torch.dtype, view: str) -> None:
    tensor = STRIDES[view](normal(5, 31, 37, dtype=dtype))
    assert_same(kernel.moments(tensor), expected(tensor), kernel.tolerance(dtype))


@every_kernel
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_moments_of_the_parts_of_complex_numbers(kernel: Kernel, dtype: torch.dtype) -> None:
    numbers = torch.complex(normal(50), normal(50, seed=1)).to(dtype)
    # The imaginary part of a conjugate is a view of memory that holds it with the other sign.
    for part in (
        numbers.real,
        numbers.imag,
        numbers.conj().imag,
        numbers.conj().imag[:1],
        numbers[:, None].mT.conj().imag,
    ):
        assert_same(kernel.moments(part), expected(part), kernel.tolerance(part.dtype))


@every_kernel
@every_dtype
def test_moments_when_the_first_element_lies_anywhere(kernel: Kernel, dtype: torch.dtype) -> None:
    tensor = normal(300, dtype=dtype)
    for start in range(1, 70):
        assert_same(
            kernel.moments(tensor[start : start + 200]), expected(tensor[start : start + 200]), kernel.tolerance(dtype)
        )


@every_kernel
@every_dtype
def test_each_place_counts_once(kernel: Kernel, dtype: torch.dtype) -> None:
    """One odd element in a thousand places, among them both ends of every block and every register."""
    tensor = torch.ones(8_300, dtype=dtype)
    for place in [*range(200), *range(4_000, 4_300), *range(8_128, 8_300)]:
        tensor[place] = -0.25
        result = kernel.moments(tensor)
        assert result.log2_histogram == ((-2, 1), (0, 8_299)), place
        assert (result.min, result.max) == (-0.25, 1.0), place
        tensor[place] = 1.0


@every_kernel_once
@every_format
@settings(max_examples=100)
@given(data=st.data())
def test_moments_of_any_bits(kernel: Kernel, written: Format, data: st.DataObject) -> None:
    tensor = written.tensor(data.draw(any_bits(written)))
    assert_same(kernel.moments(tensor), expected(tensor), kernel.tolerance(written.dtype))


@every_kernel_once
@every_format
@settings(max_examples=100)
@given(data=st.data())
def test_moments_of_any_blocks_of_bits(kernel: Kernel, written: Format, data: st.DataObject) -> None:
    tensor = written.tensor(data.draw(blocks_of_bits(written)))
    assert_same(kernel.moments(tensor), expected(tensor), kernel.tolerance(written.dtype))


@every_kernel_once
@every_format
@settings(max_examples=30)
@given(data=st.data())
def test_parts_merge_into_the_whole(kernel: Kernel, written: Format, data: st.DataObject) -> None:
    tensor = written.tensor(data.draw(blocks_of_bits(written) | any_bits(written)))
    cuts = data.draw(st.lists(st.integers(0, len(tensor)), max_size=4).map(sorted))
    bounds = zip([0, *cuts], [*cuts, len(tensor)], strict=True)
    parts = [kernel.moments(tensor[start:stop]) for start, stop in bounds]
    assert_same(Moments.merge_all(parts), expected(tensor), kernel.tolerance(written.dtype))


@pytest.mark.parametrize("first", [-149, -120, -87, -86, -60, -41, -40, 0, 39, 40, 41, 90, 126])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_whatever_the_first_elements_promise(dtype: torch.dtype, first: int) -> None:
    """They say what to expect of a block; whatever comes, its squares fit the units that were chosen."""
    values = torch.cat([torch.full((8,), 2.0**first, dtype=torch.float64), torch.empty(4_088, dtype=torch.float64)])
    rest = 1.0 + torch.rand(4_088, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for exponent in range(-149, 127):
        values[8:] = 2.0**exponent * rest
        tensor = values.to(dtype)
        result, wide = moments(tensor), tensor.double()
        assert result.rms == pytest.approx(float(wide.square().mean().sqrt()), rel=IN_FLOAT32.sums), exponent
        assert result.mean == pytest.approx(float(wide.mean()), rel=IN_FLOAT32.sums), exponent
        assert result.std == pytest.approx(float(wide.std()), rel=IN_FLOAT32.sums, abs=1e-12 * float(wide.mean())), (
            exponent
        )
        assert (result.min, result.max) == (float(wide.min()), float(wide.max())), exponent


@every_kernel
@pytest.mark.parametrize(
    "dtype",
    [
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    ],
    ids=str,
)
def test_moments_when_numbers_are_no_usual_floats(kernel: Kernel, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[3, 0, 1], [0, 7, 2]]).to(dtype)
    result = kernel.moments(tensor)
    assert_same(result, expected(tensor), IN_FLOAT64)
    assert result.subnormal_count == 0


@every_kernel
def test_subnormals_are_those_of_the_dtype(kernel: Kernel) -> None:
    smallest = {torch.float64: 1e-310, torch.float32: 1e-40, torch.bfloat16: 1e-40, torch.float16: 1e-5}
    for dtype, value in smallest.items():
        assert kernel.moments(torch.tensor([value, 1.0, 0.0], dtype=dtype)).subnormal_count == 1
    assert kernel.moments(torch.tensor([1e-40], dtype=torch.float64)).subnormal_count == 0


@every_kernel
def test_complex_numbers_count_by_magnitude(kernel: Kernel) -> None:
    tensor = torch.tensor([3 + 4j, 0j, 1e-40j, complex(NAN, 1), complex(INF, NAN)], dtype=torch.complex64)
    result = kernel.moments(tensor)
    assert (result.count, result.zero_count, result.subnormal_count, result.max) == (5, 1, 1, 5.0)
    assert (result.nan_count, result.inf_count) == (1, 1)


@on_cpu
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls these layouts beta
def test_stored_values_count_when_layout_is_another(kernel: Kernel) -> None:
    dense = torch.tensor([[0.0, 3.0], [-4.0, 0.0]])
    stored = expected(torch.tensor([3.0, -4.0]))
    twice = torch.sparse_coo_tensor(torch.tensor([[0, 0]]), torch.tensor([1.0, 2.0]), (3,))
    nothing = torch.sparse_coo_tensor(size=(3,))
    cases = [(dense.to_sparse(), stored), (dense.to_sparse_csr(), stored), (dense.to_mkldnn(), expected(dense))]
    cases += [(twice, expected(torch.tensor([3.0]))), (nothing, Moments())]  # entries at one place are one number
    for tensor, wanted in cases:
        assert_same(kernel.moments(tensor), wanted, kernel.narrow)


@on_cpu
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls them a prototype
def test_moments_of_nested_tensors(kernel: Kernel) -> None:
    parts = [normal(3, 2, dtype=torch.float32), normal(5, 2, dtype=torch.float32, seed=1)]
    wanted = expected(torch.cat(parts))
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.nested_tensor(parts, layout=layout)
        assert_same(kernel.moments(nested), wanted, kernel.narrow)
        assert_same(kernel.moments(nested.transpose(1, 2)), wanted, kernel.narrow)


@on_cpu
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantized_numbers_count_as_what_they_stand_for(kernel: Kernel) -> None:
    quantized = torch.quantize_per_tensor(torch.tensor([-1.0, 0.0, 2.0]), 0.5, 3, torch.qint8)
    assert_same(kernel.moments(quantized), expected(torch.tensor([-1.0, 0.0, 2.0])), kernel.narrow)


@on_cpu
def test_meta_tensor_has_no_values(kernel: Kernel) -> None:
    assert kernel.moments(torch.empty(3, 4, device="meta")) == Moments()


@every_kernel
def test_moments_leave_the_tensor_alone(kernel: Kernel) -> None:
    tensor = torch.tensor(SPECIAL * 500, requires_grad=True)
    before = tensor.detach().clone()
    kernel.moments(tensor)
    torch.testing.assert_close(tensor.detach(), before, rtol=0, atol=0, equal_nan=True)
    assert tensor.grad is None


@every_kernel
def test_a_mode_of_the_caller_changes_nothing(kernel: Kernel) -> None:
    tensor = normal(5_000, dtype=torch.float32).requires_grad_() * 1
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert_same(kernel.moments(tensor), expected(tensor), kernel.narrow)
