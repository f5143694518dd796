"""What is particular to compiled code: threads, the CPU's modes, memory it may touch, and where the code is kept."""

import ctypes
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headwater.kernels import cpu, jobs, ledger
from headwater.kernels.ledger import NARROW as KINDS
from headwater.kernels.ledger import Ledger, moments
from headwater.kernels.threads import Team, team
from headwater.probes.activation_state import activation_state
from headwater.records import Moments
from headwater.theory import ACTIVATIONS
from tests.helpers import ROOT, SOURCE
from tests.kernels.cases import (
    FLOATS,
    FORMATS,
    LIMITS,
    NARROW,
    VALUES,
    Format,
    Tolerance,
    as_numpy,
    assert_same,
    blocks_of_bits,
    expected,
    expected_of,
    normal,
    of_dtype,
    using_threads,
)
from tests.kernels.work import all_jobs

IN_FLOAT32, IN_FLOAT64 = Tolerance(8e-6, rounding=1e-24), Tolerance(1e-12, rounding=1e-24)
SMALL_FORMATS = [written for written in FORMATS if written.dtype in NARROW]
every_format = pytest.mark.parametrize("written", SMALL_FORMATS, ids=lambda written: str(written.dtype))
SENTINEL = 0x5A5A5A5A5A5A5A5A


def run_python(code: str, **environment: str) -> str:
    """What ``code`` prints in an interpreter with other environment variables; an empty one is taken away."""
    variables = {**os.environ, **environment}
    kept = {name: value for name, value in variables.items() if value}
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


# Modes of the CPU


@contextmanager
def flushing() -> Iterator[None]:
    """The CPU takes subnormal numbers for zero, as some trainings ask of it for speed."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU has no such mode")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("name", [*VALUES, *LIMITS])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_moments_when_the_cpu_flushes_subnormals(dtype: torch.dtype, name: str) -> None:
    tensor, book = of_dtype(name, dtype), Ledger()
    with flushing():
        results = moments(tensor), book.moments(book.measure(tensor))
    for result in results:
        assert_same(result, expected_of(name, dtype), IN_FLOAT64 if dtype is torch.float64 else IN_FLOAT32)


@pytest.mark.parametrize("written", FORMATS, ids=lambda written: str(written.dtype))
@settings(max_examples=50)
@given(data=st.data())
def test_moments_of_any_blocks_when_the_cpu_flushes(written: Format, data: st.DataObject) -> None:
    tensor = written.tensor(data.draw(blocks_of_bits(written)))
    with flushing():
        result = moments(tensor)
    assert_same(result, expected(tensor), IN_FLOAT64 if written.dtype is torch.float64 else IN_FLOAT32)


@every_format
@settings(max_examples=50)
@given(data=st.data())
def test_jobs_when_the_cpu_flushes(written: Format, data: st.DataObject) -> None:
    tensor = written.tensor(data.draw(blocks_of_bits(written)))
    assert_unmoved(lambda: all_jobs(tensor))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_state_when_the_cpu_flushes(activation: str) -> None:
    x = torch.cat([normal(40, 50), 1e-38 * normal(9, 50), 1e-44 * normal(9, 50)]).float()
    x[:, 0], x[:, 1], x[:, 2] = 0.0, 1e-41, -1e-41

    def state() -> list[np.ndarray]:
        found = activation_state(ACTIVATIONS[activation], x, {}, -1)
        return [np.array([found.square_sum, found.finite, found.saturated]), found.alive]

    assert_unmoved(state)


def assert_unmoved(work: Callable[[], list[np.ndarray]]) -> None:
    before = work()
    with flushing():
        flushed = work()
    for result, wanted in zip(flushed, before, strict=True):
        np.testing.assert_array_equal(result, wanted)


# Threads


@pytest.fixture
def sharing_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_WORTH_SHARING", 1)
    monkeypatch.setattr(ledger, "_PART", 1)


def shared(tensor: Tensor, number: int) -> Moments:
    book = Ledger()
    with using_threads(number):
        return book.moments(book.measure(tensor))


@pytest.mark.usefixtures("sharing_everything")
@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 64, 4_096, 4_097, 8_192, 12_289, 20_000, 100_003])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_shares_of_threads_are_the_whole(dtype: torch.dtype, size: int, number: int) -> None:
    tensor = normal(size, dtype=dtype)
    tensor[-1] = 7.0
    assert_same(shared(tensor, number), expected(tensor), IN_FLOAT32)


@pytest.mark.usefixtures("sharing_everything")
@pytest.mark.parametrize("name", [*VALUES, *LIMITS])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_shares_of_threads_are_the_whole_when_values_vary(dtype: torch.dtype, name: str) -> None:
    assert_same(shared(of_dtype(name, dtype), 3), expected_of(name, dtype), IN_FLOAT32)


@pytest.mark.usefixtures("sharing_everything")
@pytest.mark.parametrize("name", ["1e-43", "many special", "around 1e4"])
def test_openmp_may_give_fewer_threads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = team()
    if real is None:
        pytest.skip("PyTorch has no OpenMP here")

    def alone(function: int, data: int, threads: int, flags: int) -> None:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(function)(data)

    serial = Team(alone, real.thread_number, real.thread_count)
    monkeypatch.setattr(ledger, "team", lambda: serial)
    assert_same(shared(of_dtype(name, torch.float32), 4), expected_of(name, torch.float32), IN_FLOAT32)


@pytest.mark.usefixtures("sharing_everything")
def test_one_thread_does_it_all_where_openmp_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "team", lambda: None)
    monkeypatch.setattr(jobs, "team", lambda: None)
    tensor = normal(100_003, dtype=torch.float32)
    assert_same(shared(tensor, 4), expected(tensor), IN_FLOAT32)
    np.testing.assert_array_equal(all_jobs(tensor)[0], as_numpy(tensor))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux shows them")
def test_no_thread_is_added_to_those_of_torch() -> None:
    tensor = normal(300_000, dtype=torch.float32)
    with using_threads(2):
        (tensor @ tensor, tensor.sum(), tensor + 1)
        before = len(list(Path("/proc/self/task").iterdir()))
        shared(tensor, 2)
        assert len(list(Path("/proc/self/task").iterdir())) == before


def test_threads_keep_their_memory_apart() -> None:
    """All threads take memory from one arena here: what one gave back too early, another would write to."""
    code = """
import torch
from headwater.kernels.ledger import Ledger
tensor, book = torch.randn(1 << 19), Ledger()
torch.set_num_threads(1)
alone = book.moments(book.measure(tensor)).log2_histogram
torch.set_num_threads(4)
print(sum(book.moments(book.measure(tensor)).log2_histogram != alone for _ in range(250)))
"""
    assert run_python(code, MALLOC_ARENA_MAX="1") == "0"


# Memory


def guarded(words: int) -> np.ndarray:
    """Room for that many words, between others that must not change."""
    return np.full(words + 16, SENTINEL, np.int64)


def assert_guarded(words: np.ndarray) -> None:
    assert (words[:8] == SENTINEL).all()
    assert (words[-8:] == SENTINEL).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ["powers of two", "special", "all magnitudes of float64", "many special"])
def test_nothing_is_written_beside_a_row(dtype: torch.dtype, name: str) -> None:
    tensor = of_dtype(name, dtype)
    wide = dtype is torch.float64
    words = guarded(cpu.ROW_WIDE if wide else cpu.ROW)
    place = words[8:].ctypes.data
    if wide:
        cpu.summarise_wide(tensor.data_ptr(), tensor.numel(), place)
    else:
        cpu.summarise(KINDS[dtype], tensor.data_ptr(), tensor.numel(), place)
    assert_guarded(words)
    assert words[8 + cpu.COUNT] == tensor.numel()


def test_nothing_is_written_beside_a_joined_row() -> None:
    parts, words = np.zeros((3, cpu.ROW), np.int64), guarded(cpu.ROW)
    tensors = [of_dtype(name, torch.float32) for name in ("powers of two", "all nan", "1e-43")]
    for row, tensor in zip(parts, tensors, strict=True):
        cpu.summarise(0, tensor.data_ptr(), tensor.numel(), row.ctypes.data)
    cpu.join(words[8:].ctypes.data, parts.ctypes.data, 3)
    assert_guarded(words)
    joined = ledger.decoded(words[8:-8], cpu.BINS, cpu.LOWEST, -126)
    assert_same(joined, expected(torch.cat(tensors)), IN_FLOAT32)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_nothing_is_written_beside_the_results_of_jobs(dtype: torch.dtype) -> None:
    tensor, kind, offsets = normal(100, dtype=dtype), KINDS[dtype], np.zeros(1, np.int64)
    before = np.zeros(100)
    runs = tensor.data_ptr(), offsets.ctypes.data, 1, 100
    table = np.zeros((4, cpu.JOB), np.int64)
    results = [guarded(words) for words in (100, 4, 3, 2, cpu.ROW)]
    places = [words[8:].ctypes.data for words in results]
    table[0, :7] = cpu.KEEP, kind, *runs, places[0]
    table[1] = cpu.COMPARE, kind, *runs, before.ctypes.data, places[1]
    table[2] = cpu.TURN, kind, *runs, before.ctypes.data, places[2]
    table[3, :7] = cpu.SUMMARISE, kind, tensor.data_ptr(), 100, places[4], 100, places[3]
    cpu.run_jobs(table)
    for words in results:
        assert_guarded(words)
        assert not (words[8:-8] == SENTINEL).any()


BESIDE = """
import ctypes, mmap
import torch
from headwater.kernels.ledger import NARROW, Ledger
from headwater.probes.activation_state import activation_state
from headwater.theory import ACTIVATIONS
from tests.kernels.cases import FLOATS
from tests.kernels.work import all_jobs

pages, page = 16, mmap.PAGESIZE
area = mmap.mmap(-1, (pages + 2) * page)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
for forbidden in (address, address + (pages + 1) * page):
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(forbidden), page, 0) == 0
for dtype in FLOATS:
    room = torch.frombuffer(area, dtype=torch.uint8, count=pages * page, offset=page).view(dtype)
    room.copy_(torch.randn(len(room)))
    for size in (*range(0, 140), 4095, 4096, 4097, 8_000):
        for tensor in (room[:size], room[len(room) - size :]):
            Ledger().measure(tensor)
            if dtype in NARROW:
                all_jobs(tensor)
            for name in ("relu", "tanh"):
                activation_state(ACTIVATIONS[name], tensor.reshape(-1, 4) if size % 4 == 0 else tensor, {}, -1)
    print(dtype)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for pages that may not be read")
def test_nothing_is_read_beside_a_tensor() -> None:
    """The pages before and after the elements may not be read: whoever does is killed."""
    assert run_python(BESIDE, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])).split() == [str(d) for d in FLOATS]


# Where the code is kept

KEPT = """
import numba.core.ccallback, numba.core.dispatcher, numba.core.event as event
compiled = event.RecordingListener()
with event.install_listener("numba:compile", compiled):
    from headwater.kernels import cpu
for name, function in vars(cpu).items():
    if isinstance(function, numba.core.ccallback.CFunc):
        print(name, function.cache_hits)
    elif isinstance(function, numba.core.dispatcher.Dispatcher) and function.stats.cache_path:
        print(name, sum(function.stats.cache_hits.values()))
print("compiled", sum(what.is_start for _, what in compiled.buffer))
"""


def test_code_is_compiled_once_and_then_found_on_disk(tmp_path: Path) -> None:
    first, second = (
        dict(line.split() for line in run_python(KEPT, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()) for _ in range(2)
    )
    names = {"summarise", "join", "summarise_share", "summarise_wide", "slopes", "rectified", "run_share", "run_jobs"}
    assert first.keys() == second.keys() == names | {"compiled"}
    assert int(first.pop("compiled")) >= len(names)
    assert set(first.values()) == {"0"}
    assert second.pop("compiled") == "0"
    assert set(second.values()) == {"1"}


TWICE = """
from headwater.kernels.cpu import _callable

@_callable("int64(int64)")
def twice(x):
    return 2 * x
"""
CALL_TWICE = """
import sys, warnings
sys.path.insert(0, {folder!r})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import twice
print(twice.twice(21), *(warning.message for warning in caught))
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder with a module in which nothing can be kept, not even by root: a file stands where the folder would."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "twice.py").write_text(TWICE, encoding="utf-8")
    (folder / "__pycache__").write_text("", encoding="utf-8")
    return folder


def test_code_is_kept_elsewhere_when_the_package_is_read_only(tmp_path: Path, read_only: Path) -> None:
    code = CALL_TWICE.format(folder=str(read_only))
    home = tmp_path / "home"
    assert run_python(code, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(home), HOME=str(home)) == "42"
    assert list(home.rglob("twice*.nbc"))


def test_code_is_compiled_for_the_process_when_nothing_can_be_written(tmp_path: Path, read_only: Path) -> None:
    code = CALL_TWICE.format(folder=str(read_only))
    home = tmp_path / "home"
    home.write_text("", encoding="utf-8")
    answer = run_python(code, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(home), HOME=str(home))
    assert answer.startswith("42 headwater compiles its kernels again in every process")
    assert answer.endswith("Set NUMBA_CACHE_DIR to one.")


def test_code_on_disk_goes_with_the_vector_instructions_it_was_made_of() -> None:
    """Numba takes code on disk for current as long as cpu.py is the same, whatever cpu.py imports."""
    digest = hashlib.sha256((SOURCE / "kernels" / "_simd.py").read_text(encoding="utf-8").encode()).hexdigest()[:16]
    assert digest == cpu.SIMD, f'_simd.py has changed: say SIMD = "{digest}" in cpu.py, or old code would be found'


def test_numba_is_not_loaded_before_a_tensor_is_measured() -> None:
    modules = "headwater.kernels.ledger, headwater.kernels.jobs, headwater.probes.activation_state"
    assert run_python(f"import sys, {modules}; print('numba' in sys.modules)") == "False"
