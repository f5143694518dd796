"""The Triton kernel gives what ``reference`` defines: on a GPU where there is one, and interpreted on the CPU.

The half that runs on the host is tested everywhere, with a stand-in that writes the kernel's cells by numpy.
"""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headwater.kernels import cuda, reference
from headwater.records import Moments
from tests.helpers import ROOT, python
from tests.records.strategies import numbers

HAS_TRITON = find_spec("triton") is not None
INTERPRETED = HAS_TRITON and os.environ.get("TRITON_INTERPRET") == "1"
COMPILED = HAS_TRITON and torch.cuda.is_available() and not INTERPRETED
DEVICE = "cuda" if COMPILED else "cpu"
NEEDS_KERNEL = "needs triton, and a GPU or TRITON_INTERPRET=1"
needs_gpu = pytest.mark.skipif(not COMPILED, reason="needs a GPU and triton")

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SIZES = [0, 1, 2, 31, 1023, 1024, 1025, 4095, 4096, 4097, 100_000]
SHAPES = [(), (3, 0), (5, 123, 123), (9, 7, 41)]
NAN, INF = math.nan, math.inf
# Sums over a block are in float32 for all but float64. There it is what the worst shift costs (`_outlier_first`).
TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-6, torch.bfloat16: 1e-6, torch.float16: 1e-6}
# What rounding a mean leaves of the squares of equal elements, beside their own.
ROUNDING = 1e-20


class StandIn:
    """What ``moments_kernel`` documents that it writes, computed by numpy from a tensor in main memory."""

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        return partial(self._run, grid[0])

    def _run(
        self, programs: int, x: Tensor, cells: Tensor, rows: int, counts: int, n: int, rounds: int, **options: Any
    ) -> None:
        values = torch.as_strided(x, (n,), (1,)).to(torch.float64).numpy()
        written, block = cells.numpy(), options["BLOCK"]
        for program in range(programs):
            starts = [(program + i * programs) * block for i in range(rounds)]
            own = np.concatenate([values[start : start + block] for start in starts])
            row = written[rows + program * cuda.FIELDS :][: cuda.FIELDS].view(np.float64)
            row[:] = self._row(own[np.isfinite(own)])
        written[counts] += np.sum(values == 0)
        written[counts + 1] += np.sum(np.isinf(values))
        nonzero = np.abs(values[np.isfinite(values) & (values != 0)])
        bins = np.frexp(nonzero)[1] - 1 - (-1074 if options["WIDE"] else -149)
        np.add.at(written, counts + cuda.COUNTS + bins, 1)

    def _row(self, finite: np.ndarray) -> list[float]:
        exponent = int(np.frexp(np.max(np.abs(finite), initial=0.0))[1])
        scaled = np.ldexp(finite, -exponent)
        shift = float(scaled[0]) if len(scaled) else 0.0
        deviations = scaled - shift
        sums = [np.sum(deviations), np.sum(np.abs(scaled)), np.sum(deviations**2)]
        return [len(finite), exponent, shift, *sums, np.min(finite, initial=INF), np.max(finite, initial=-INF)]


@dataclass(frozen=True)
class Bench:
    """A table, and where to bring the tensors that it measures."""

    table: cuda.CudaTable
    device: str

    def measure(self, tensor: Tensor) -> int:
        return self.table.measure(tensor.to(self.device))

    def moments(self, tensor: Tensor) -> Moments:
        handle = self.measure(tensor)
        return self.table.read()[handle]


@pytest.fixture(params=["stand-in", "triton"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    if request.param == "stand-in":
        monkeypatch.setattr(cuda, "_kernel", StandIn)
        return Bench(cuda.CudaTable(), "cpu")
    if not INTERPRETED and not COMPILED:
        pytest.skip(NEEDS_KERNEL)
    return Bench(cuda.CudaTable(), DEVICE)


@pytest.fixture
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs that walk over many blocks, without the size that this takes else."""
    monkeypatch.setattr(cuda, "_BLOCK", 1024)
    monkeypatch.setattr(cuda, "_MOST_PROGRAMS", 2)


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def expected(tensor: Tensor) -> Moments:
    return reference.moments(tensor.detach().to(torch.float64).numpy(), torch.finfo(tensor.dtype).tiny)


def assert_same(result: Moments, wanted: Moments, dtype: torch.dtype) -> None:
    for name in ("count", "nan_count", "inf_count", "zero_count", "subnormal_count", "exponent", "min", "max"):
        assert getattr(result, name) == getattr(wanted, name), name
    assert result.log2_histogram == wanted.log2_histogram
    tolerance = TOLERANCE[dtype]
    assert result.scaled_abs_mean == pytest.approx(wanted.scaled_abs_mean, rel=tolerance, abs=0.0)
    assert result.scaled_mean == pytest.approx(wanted.scaled_mean, rel=0.0, abs=tolerance * wanted.scaled_abs_mean)
    squares = wanted.scaled_m2 + wanted.finite_count * wanted.scaled_mean**2
    assert result.scaled_m2 == pytest.approx(wanted.scaled_m2, rel=tolerance, abs=ROUNDING * squares)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_moments_when_dtype_and_size_vary(bench: Bench, dtype: torch.dtype, size: int) -> None:
    tensor = normal(size, dtype=dtype)
    assert_same(bench.moments(tensor), expected(tensor), dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_when_shape_varies(bench: Bench, shape: tuple[int, ...]) -> None:
    tensor = normal(*shape, dtype=torch.float32)
    assert_same(bench.moments(tensor), expected(tensor), tensor.dtype)


SPECIAL = [0.0, -0.0, NAN, INF, -INF, 1.0, -2.5, 1e-3, 6e-8, 1e-40, 1e-45, 5e-324, 1e-300, -1e300]
HALVES = [2.0**e for e in range(-1074, 1024)]


@pytest.mark.parametrize(
    "values",
    [SPECIAL, SPECIAL * 800, [NAN] * 3, [INF, -INF], [0.0] * 4, [5e-324] * 2, [1e-310, -1e-310], [1e-45, 0.0], HALVES],
    ids=["special", "many", "nan", "inf", "zero", "smallest", "float64 subnormal", "float32 smallest", "powers of two"],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_moments_when_values_are_special(bench: Bench, dtype: torch.dtype, values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float64).to(dtype)
    assert_same(bench.moments(tensor), expected(tensor), dtype)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float32, 1e-30),
        (torch.float32, 1e30),
        (torch.float32, 1e-42),
        (torch.bfloat16, 1e-39),
        (torch.float16, 1e-6),
        (torch.float64, 1e-300),
        (torch.float64, 1e300),
        (torch.float64, 1e-315),
    ],
    ids=str,
)
def test_squares_neither_underflow_nor_overflow(bench: Bench, dtype: torch.dtype, scale: float) -> None:
    tensor = (normal(10_000) * scale).to(dtype)
    result = bench.moments(tensor)
    assert_same(result, expected(tensor), dtype)
    assert result.log10_rms == pytest.approx(math.log10(scale), abs=0.05)


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_magnitudes_of_all_kinds_in_one_tensor(bench: Bench, dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    decades = torch.linspace(math.log10(limits.smallest_normal) - 8, math.log10(limits.max), 7_000).double()
    for order in (decades, decades.flip(0), decades[torch.randperm(7_000, generator=torch.Generator().manual_seed(0))]):
        tensor = (normal(7_000).sign() * 10.0**order).to(dtype)
        assert_same(bench.moments(tensor), expected(tensor), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_small_spread_around_a_large_mean_survives(bench: Bench, dtype: torch.dtype) -> None:
    tensor = (1e4 + 1e-2 * normal(50_000)).to(dtype)
    result, wanted = bench.moments(tensor), expected(tensor)
    assert_same(result, wanted, dtype)
    assert wanted.std is not None
    assert result.std == pytest.approx(wanted.std, rel=1e-5)


def _outlier_first() -> Tensor:
    """The shift comes from a block that is like nothing after it, and from a single element of that."""
    tensor = 1e-2 * normal(20_000)
    tensor[:1024] = NAN
    tensor[7] = 1e6
    return tensor


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize(
    "tensor",
    [
        normal(20_000).sort().values,
        torch.linspace(-1.0, 1e6, 20_000, dtype=torch.float64),
        torch.cat([torch.zeros(9_000), 1e-20 * normal(9_000)]),
        torch.cat([1e-20 * normal(9_000), torch.zeros(9_000)]),
        torch.cat([torch.full((9_000,), NAN), 3.0 + normal(9_000), torch.full((9_000,), INF)]),
        torch.cat([1e-20 * normal(9_000), 1e20 * normal(9_000)]),
        torch.cat([1e-300 * normal(9_000), 1e300 * normal(9_000)]),
        torch.cat([1e300 * normal(9_000), 1e-300 * normal(9_000)]),
        1e4 + torch.linspace(-0.1, 0.1, 20_000, dtype=torch.float64),
        torch.full((20_000,), 1 / 3),
        _outlier_first(),
    ],
    ids=[
        *("sorted", "ramp", "zeros first", "zeros last", "nan and inf", "two scales", "far scales", "far scales down"),
        *("drift", "constant", "outlier first"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_moments_when_a_program_meets_many_kinds_of_blocks(bench: Bench, dtype: torch.dtype, tensor: Tensor) -> None:
    tensor = tensor.to(dtype)
    assert_same(bench.moments(tensor), expected(tensor), dtype)


STRIDES: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, 2),
    "channels last": lambda t: t[None].contiguous(memory_format=torch.channels_last),
    "stepped": lambda t: t[::2, 1::3, ::5],
    "expanded": lambda t: t[:, :1].expand(-1, 4, -1),
    "offset": lambda t: t.flatten()[3:40],
    "gaps and ones": lambda t: t[:, ::2, :1],
    "a size of one": lambda t: t.as_strided((5, 1, 7), (1, 99, 5)),
    "of a parameter": lambda t: torch.nn.Parameter(t) * 2,
}


@pytest.mark.parametrize("view", STRIDES)
def test_moments_when_strides_vary(bench: Bench, view: str) -> None:
    tensor = STRIDES[view](normal(6, 7, 41, dtype=torch.float32))
    assert_same(bench.moments(tensor), expected(tensor), tensor.dtype)


@pytest.mark.parametrize("bench", ["stand-in"], indirect=True)
@pytest.mark.parametrize(
    ("view", "copied"),
    [("transposed", False), ("channels last", False), ("a size of one", False), ("offset", False), ("stepped", True)],
)
def test_only_elements_with_gaps_between_them_are_copied(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, view: str, copied: bool
) -> None:
    tensor, copies = STRIDES[view](normal(6, 7, 41)), []
    contiguous = Tensor.contiguous
    monkeypatch.setattr(Tensor, "contiguous", lambda self, **options: copies.append(1) or contiguous(self, **options))
    bench.measure(tensor)
    assert bool(copies) is copied


@settings(max_examples=60)
@given(st.lists(numbers, max_size=20), st.sampled_from(FLOATS))
def test_moments_when_anything_goes(values: list[float], dtype: torch.dtype) -> None:
    if not INTERPRETED and not COMPILED:
        pytest.skip(NEEDS_KERNEL)
    tensor = torch.tensor(values, dtype=torch.float64).to(dtype)
    assert_same(Bench(cuda.CudaTable(), DEVICE).moments(tensor), expected(tensor), dtype)


def test_handles_keep_tensors_apart(bench: Bench) -> None:
    tensors = [normal(n, dtype=dtype) for n in (0, 5, 9_000, 1) for dtype in FLOATS]
    handles = [bench.measure(tensor) for tensor in tensors]
    results = bench.table.read()
    assert len(results) == len(set(handles)) == len(tensors)
    for tensor, handle in zip(tensors, handles, strict=True):
        assert_same(results[handle], expected(tensor), tensor.dtype)


def test_measured_is_what_was_there_then(bench: Bench) -> None:
    tensor = torch.ones(100, device=bench.device)
    handle = bench.table.measure(tensor)
    tensor.zero_()
    assert bench.table.read()[handle].mean == 1.0


def test_memory_grows_and_keeps_what_was_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_FIRST_CELLS", 300)
    tensors = [normal(9_000 + i, dtype=FLOATS[i % 4]) for i in range(9)]
    for step in range(3):
        handles = [bench.measure(tensor) for tensor in tensors]
        assert handles == list(range(9)), step
        for tensor, result in zip(tensors, bench.table.read(), strict=True):
            assert_same(result, expected(tensor), tensor.dtype)
        bench.table.reset()
        assert bench.table.read() == []


def test_memory_is_used_again_after_a_reset(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_FIRST_CELLS", 300)
    zeros = torch.zeros
    made: list[int] = []
    monkeypatch.setattr(torch, "zeros", lambda size, **options: made.append(size) or zeros(size, **options))
    per_step = []
    for _ in range(4):
        for size in (10, 9_000, 3):
            bench.measure(normal(size))
        bench.table.reset()
        per_step.append(len(made))
    assert per_step[0] > 1
    assert per_step[1:] == [per_step[0]] * 3


def test_read_may_come_between_two_measurements(bench: Bench) -> None:
    first = bench.measure(normal(10))
    assert len(bench.table.read()) == 1
    second = bench.measure(normal(20))
    results = bench.table.read()
    assert (results[first].count, results[second].count) == (10, 20)


def test_a_launch_that_fails_leaves_the_others_as_they_were(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.measure(normal(10))
    kernel = bench.table._kernel
    monkeypatch.setattr(bench.table, "_kernel", {})
    with pytest.raises(KeyError):
        bench.measure(normal(20))
    monkeypatch.setattr(bench.table, "_kernel", kernel)
    after = bench.measure(normal(30))
    results = bench.table.read()
    for handle, size in ((before, 10), (after, 30)):
        assert_same(results[handle], expected(normal(size)), torch.float64)


def test_an_untouched_table_reads_nothing(bench: Bench) -> None:
    bench.table.reset()
    assert bench.table.read() == []


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str)
def test_other_dtypes_are_refused(bench: Bench, dtype: torch.dtype) -> None:
    assert dtype not in cuda.DTYPES
    with pytest.raises(TypeError, match=f"bfloat16, float16, float32, float64, got {dtype}"):
        bench.table.measure(torch.zeros(3).to(dtype))


@pytest.mark.parametrize(("gpu", "triton", "usable"), [(True, True, True), (True, False, False), (False, True, False)])
def test_available_needs_a_gpu_and_the_compiler(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, triton: bool, usable: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(cuda, "find_spec", lambda name: object() if triton and name == "triton" else None)
    assert cuda.available.__wrapped__() is usable


def test_importing_and_asking_loads_nothing_large() -> None:
    loaded = python("import sys; from headwater.kernels import cuda; cuda.available(); print('triton' in sys.modules)")
    assert loaded == "False"


class FakeStream:
    """A stream that writes down what it was told to wait for."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    def record_event(self) -> str:
        return f"an event of {self._name}"

    def wait_event(self, event: str) -> None:
        self._log.append(f"{self._name} waits for {event}")

    def wait_stream(self, stream: "FakeStream") -> None:
        self._log.append(f"{self._name} waits for {stream._name}")


class FakeMemory:
    def __init__(self) -> None:
        self.streams: list[FakeStream] = []

    def record_stream(self, stream: FakeStream) -> None:
        self.streams.append(stream)


def test_streams_wait_for_the_zeroing_and_the_reading_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    main, side = FakeStream("main", log), FakeStream("side", log)
    current = [main]
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[0])
    streams, memory = cuda._Streams(torch.device("cuda")), FakeMemory()
    streams.fork()
    streams.enter(memory)
    streams.join()
    assert not log, "one stream needs no order"
    current[0] = side
    streams.enter(memory)
    current[0] = main
    streams.join()
    assert log == ["side waits for an event of main", "main waits for side"]
    assert memory.streams == [side]


@needs_gpu
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_measuring_never_waits_for_the_device(dtype: torch.dtype) -> None:
    table, tensor = cuda.CudaTable(), normal(100_000, dtype=dtype).cuda()
    table.measure(tensor)  # compiles
    table.reset()
    # Work that takes seconds is queued first: a hidden wait would be as long.
    torch.cuda._sleep(2_000_000_000)
    queued = torch.cuda.Event()
    queued.record()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(50):
            table.measure(tensor)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not queued.query()
    assert_same(table.read()[-1], expected(tensor.cpu()), dtype)


@needs_gpu
def test_streams_wait_for_each_other() -> None:
    table, tensor = cuda.CudaTable(), normal(1 << 20, dtype=torch.float32).cuda()
    wanted = expected(tensor.cpu())
    side = torch.cuda.Stream()
    for _ in range(3):
        torch.cuda._sleep(100_000_000)
        table.measure(tensor)
        with torch.cuda.stream(side):
            torch.cuda._sleep(100_000_000)
            table.measure(tensor)
        table.measure(tensor)
        for result in table.read():
            assert_same(result, wanted, tensor.dtype)
        table.reset()


@needs_gpu
def test_moments_beyond_2_to_the_31_elements() -> None:
    count = 2**31 + 4_099
    if torch.cuda.mem_get_info()[0] < 3 * count:
        pytest.skip("needs 6 GB of free device memory")
    tensor = torch.ones(count, dtype=torch.float16, device="cuda")
    tensor[-3:] = torch.tensor([-4.0, NAN, 0.0])
    table = cuda.CudaTable()
    result = table.read()[table.measure(tensor)]
    assert (result.count, result.nan_count, result.zero_count, result.min) == (count, 1, 1, -4.0)
    assert result.log2_histogram == ((0, count - 3), (2, 1))
    assert result.mean == pytest.approx(1.0, rel=1e-6)


@pytest.mark.skipif(not HAS_TRITON, reason="needs triton")
@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
def test_kernel_by_the_interpreter() -> None:
    """The tests of this file with the kernel, on the CPU: what a machine without a GPU can say about it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "triton or anything", __file__],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A run that skipped everything would have succeeded too.
    assert "test_moments_when_anything_goes" not in done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 100, done.stdout
