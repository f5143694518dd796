"""The moments of CUDA tensors: one fused Triton pass each, and no wait for the device until they are read.

A step's measurements lie in a `CudaTable`, in device memory. Each has a few *cells* of eight bytes there: one row of
partial moments per program that worked on the tensor, and the tensor's counts. They come to the host together, and
become one there in float64.
"""

import math
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.records import Moments

FIELDS = 8  # float64 of a partial row, in the order `moments_kernel` documents
COUNTS = 2  # before the histogram: zeros, infinities

# These three are reasoned, not measured. Sixteen elements per thread are independent work enough to hide some of the
# latency of memory, and few enough registers for two programs on a multiprocessor.
_BLOCK = 4096
_WARPS = 8
# Two for each multiprocessor of the largest devices, and 16 KiB of rows per tensor at most.
_MOST_PROGRAMS = 256

_FIRST_CELLS = 1 << 17  # 1 MiB: some hundred tensors


@dataclass(frozen=True, slots=True)
class _Exponents:
    """Which floor(log₂|x|) a dtype has in the kernel, where float16 and bfloat16 are float32.

    Attributes:
        lowest: That of the smallest subnormal number, the first bin.
        bins: How many there are.
    """

    lowest: int
    bins: int


_NARROW = _Exponents(lowest=-149, bins=277)
_WIDE = _Exponents(lowest=-1074, bins=2098)
_EXPONENTS = {
    torch.float32: _NARROW,
    torch.bfloat16: _NARROW,
    torch.float16: _NARROW,
    torch.float64: _WIDE,
}

DTYPES = frozenset(_EXPONENTS)
"""What the kernel measures."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One tensor, and the cells its results take: a row per program, then the counts."""

    device: torch.device
    count: int
    dtype: torch.dtype
    programs: int

    @property
    def row_cells(self) -> int:
        return self.programs * FIELDS

    @property
    def cells(self) -> int:
        return self.row_cells + COUNTS + _EXPONENTS[self.dtype].bins


@cache
def available() -> bool:
    """Whether this process has a CUDA device and triton, which is looked for and not imported."""
    return torch.cuda.is_available() and find_spec("triton") is not None


class CudaTable:
    """What was measured since the last ``reset``, on whichever device the tensors were.

    Example:
        >>> table = CudaTable()  # doctest: +SKIP
        >>> handle = table.measure(torch.ones(3, device="cuda"))  # doctest: +SKIP
        >>> table.read()[handle].rms  # doctest: +SKIP
        1.0

    Raises:
        ModuleNotFoundError: If triton is not installed; see :func:`available`.
    """

    def __init__(self) -> None:
        self._kernel = _kernel()
        self._arenas: dict[torch.device, _Arena] = {}
        self._measured: list[_Measured] = []

    def measure(self, tensor: Tensor) -> int:
        """Launch the measurement of a tensor on the current stream and return at once.

        The tensor may be changed or freed afterwards, as after any other operation on this stream.

        Args:
            tensor: On a CUDA device, of a dtype in ``DTYPES``, any shape and any number of elements. One whose
                elements do not fill their memory without gaps is copied first.

        Returns:
            The index of its moments in what ``read`` returns.

        Raises:
            TypeError: If the dtype is another one.
        """
        if tensor.dtype not in DTYPES:
            accepted = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in DTYPES))
            raise TypeError(f"the kernel measures {accepted}, got {tensor.dtype}: `generic.moments` measures it.")
        values = tensor.detach() if _is_dense(tensor) else tensor.detach().contiguous()
        blocks = max(1, math.ceil(values.numel() / _BLOCK))
        rounds = math.ceil(blocks / _MOST_PROGRAMS)
        measured = _Measured(values.device, values.numel(), values.dtype, programs=math.ceil(blocks / rounds))
        self._launch(values, measured, rounds)
        return len(self._measured) - 1

    def read(self) -> list[Moments]:
        """Wait for the devices, copy what each has to the host in one piece, and merge it there.

        Returns:
            The moments of each tensor, by the handle that ``measure`` returned.
        """
        if not self._measured:
            return []
        unread = {device: arena.to_host() for device, arena in self._arenas.items()}
        cells = []
        for tensor in self._measured:
            own, unread[tensor.device] = np.split(unread[tensor.device], [tensor.cells])
            cells.append(own)
        return _moments(self._measured, cells)

    def reset(self) -> None:
        """Forget what was measured; the memory stays for the next step."""
        self._measured = []
        for arena in self._arenas.values():
            arena.reset()

    def _launch(self, values: Tensor, measured: _Measured, rounds: int) -> None:
        with torch.cuda.device_of(values):  # where triton launches, and whose current stream it takes
            if values.device not in self._arenas:
                self._arenas[values.device] = _Arena(values.device)
            cells, start = self._arenas[values.device].reserve(measured.cells)
            self._measured.append(measured)  # from here on the cells are taken, even if the launch fails
            self._kernel[(measured.programs,)](
                values,
                cells,
                start,
                start + measured.row_cells,
                measured.count,
                rounds,
                BLOCK=_BLOCK,
                WIDE=values.dtype == torch.float64,
                num_warps=_WARPS,
            )


class _Arena:
    """Zeroed cells in the memory of one device; they are added to and never moved, for kernels are writing to them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams = _Streams(device)
        self._chunks: list[Tensor] = []
        self._used: list[int] = []

    def reserve(self, cells: int) -> tuple[Tensor, int]:
        """Memory that the current stream may write to, and where in it ``cells`` begin."""
        if not self._chunks or self._used[-1] + cells > len(self._chunks[-1]):
            # As much again as there is, so that a long step adds memory few times.
            self._add_chunk(max(cells, _FIRST_CELLS, sum(map(len, self._chunks))))
        start = self._used[-1]
        self._used[-1] += cells
        self._streams.enter(self._chunks[-1])
        return self._chunks[-1], start

    def to_host(self) -> NDArray[np.int64]:
        """All that was reserved, in that order, when what was launched has run."""
        self._streams.join()
        used = [chunk[:cells] for chunk, cells in zip(self._chunks, self._used, strict=True)]
        host: NDArray[np.int64] = (used[0] if len(used) == 1 else torch.cat(used)).cpu().numpy()
        return host

    def reset(self) -> None:
        """Take all cells back, and zero them."""
        self._streams.join()
        if len(self._chunks) == 1:
            self._chunks[0][: self._used[0]].zero_()
            self._used = [0]
            self._streams.fork()
        else:
            # One chunk from now on: a step like the last one adds no memory and is read by one copy.
            whole = sum(map(len, self._chunks))
            self._chunks, self._used = [], []
            self._add_chunk(whole)

    def _add_chunk(self, cells: int) -> None:
        self._chunks.append(torch.zeros(cells, dtype=torch.int64, device=self._device))
        self._used.append(0)
        self._streams.fork()


class _Streams:
    """Keeps what several streams measure between the zeroing of the memory and its reading.

    Args:
        device: Whose streams; any but a CUDA device has none.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        self._zeroed: tuple[torch.cuda.Stream, torch.cuda.Event] | None = None
        self._writing: set[torch.cuda.Stream] = set()

    def fork(self) -> None:
        """Let what is measured from now on come after what the current stream has been given so far."""
        if self._device is not None:
            stream = torch.cuda.current_stream(self._device)
            self._zeroed = stream, stream.record_event()

    def enter(self, memory: Tensor) -> None:
        """Say that the current stream is about to write to ``memory``."""
        if self._device is None or self._zeroed is None:
            return
        stream = torch.cuda.current_stream(self._device)
        self._writing.add(stream)
        zeroing, zeroed = self._zeroed
        if stream != zeroing:
            stream.wait_event(zeroed)
            memory.record_stream(stream)  # or it could be given away while this stream still writes

    def join(self) -> None:
        """Let the current stream, not the host, wait for all that have written."""
        if self._device is not None:
            current = torch.cuda.current_stream(self._device)
            for stream in self._writing - {current}:
                current.wait_stream(stream)


@cache
def _kernel() -> Any:
    return import_module("headwater.kernels._cuda_kernels").moments_kernel


def _is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill their memory without gaps, in any order: transposed weights and channels-last do."""
    if tensor.is_contiguous():
        return True
    filled = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != filled:
            return False
        filled *= size
    return True


def _moments(measured: list[_Measured], cells: list[NDArray[np.int64]]) -> list[Moments]:
    rows = np.concatenate([own[: tensor.row_cells] for tensor, own in zip(measured, cells, strict=True)])
    programs = np.array([tensor.programs for tensor in measured])
    merged = _merged(rows.view(np.float64).reshape(-1, FIELDS), programs)
    return [
        _one(tensor, own[tensor.row_cells :], scaled)
        for tensor, own, scaled in zip(measured, cells, merged, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Scaled:
    """The moments of one tensor's finite elements: ``Moments`` says in which units."""

    finite: int
    exponent: int
    mean: float
    abs_mean: float
    m2: float
    low: float
    high: float


def _merged(rows: NDArray[np.float64], programs: NDArray[np.int64]) -> list[_Scaled]:
    """One summary per tensor of its programs' rows.

    Args:
        rows: (programs of all tensors, fields), tensor after tensor.
        programs: Rows of each tensor, at least one.

    Source:
        Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", section 2, for many parts at once.
    """
    starts = np.cumsum(programs) - programs
    count, own_exponent, shift, total, abs_total, squares, low, high = rows.T
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    peak = np.where(low <= high, np.maximum(-low, high), 0.0)
    exponent = np.frexp(peak)[1]
    down = own_exponent.astype(np.int64) - np.repeat(exponent, programs)
    some = np.maximum(count, 1.0)
    row_mean = np.ldexp(shift + total / some, down)
    row_m2 = np.ldexp(np.maximum(squares - total * total / some, 0.0), 2 * down)
    finite = np.add.reduceat(count, starts)
    any_finite = np.maximum(finite, 1.0)
    mean = np.add.reduceat(count * row_mean, starts) / any_finite
    between = count * (row_mean - np.repeat(mean, programs)) ** 2
    m2 = np.add.reduceat(row_m2 + between, starts)
    abs_mean = np.add.reduceat(np.ldexp(abs_total, down), starts) / any_finite
    columns = (finite.astype(np.int64), exponent, mean, abs_mean, m2, low, high)
    return [_Scaled(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _one(tensor: _Measured, counts: NDArray[np.int64], scaled: _Scaled) -> Moments:
    zero_count, inf_count = counts[:COUNTS].tolist()
    bins = counts[COUNTS:]
    used = bins.nonzero()[0]
    histogram = tuple(zip((used + _EXPONENTS[tensor.dtype].lowest).tolist(), bins[used].tolist(), strict=True))
    smallest_normal = math.frexp(torch.finfo(tensor.dtype).tiny)[1] - 1
    return Moments(
        count=tensor.count,
        # The kernel sees more NaN than there are: those it pads with.
        nan_count=tensor.count - scaled.finite - inf_count,
        inf_count=inf_count,
        zero_count=zero_count,
        subnormal_count=sum(n for e, n in histogram if e < smallest_normal),
        exponent=scaled.exponent,
        scaled_mean=scaled.mean,
        scaled_abs_mean=scaled.abs_mean,
        scaled_m2=scaled.m2,
        min=scaled.low if scaled.finite else None,
        max=scaled.high if scaled.finite else None,
        log2_histogram=histogram,
    )
