"""The moments of CUDA tensors: one fused Triton pass each, and no wait for the device until they are read.

A step's measurements lie in a `CudaTable`, in device memory. Each has a few *cells* of eight bytes there: one row of
partial moments per program that worked on the tensor, and the tensor's counts. They come to the host together, and
become one there in float64.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.records import Moments

FIELDS = 8  # float64 of a partial row, in the order `moments_kernel` documents
COUNTS = 2  # before the histogram: zeros, infinities

# Reasoned, not measured. 32 elements per thread give enough independent work to hide the latency of memory, and make
# the float64 operations per block, which every thread repeats, few beside the float32 operations per element.
_BLOCK = 8192
_WARPS = 8
# About two programs for each multiprocessor of the largest devices, and 16 KiB of partial rows per tensor at most.
_MOST_PROGRAMS = 256
_FIRST_CELLS = 1 << 17  # 1 MiB: the rows of some hundred small tensors


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


@dataclass(frozen=True, slots=True)
class _Measured:
    """Where the result of one ``measure`` lies: rows from ``start``, counts after them."""

    chunk: int
    start: int
    programs: int
    count: int
    dtype: torch.dtype

    @property
    def counts(self) -> int:
        return self.start + self.programs * FIELDS

    @property
    def end(self) -> int:
        return self.counts + COUNTS + _EXPONENTS[self.dtype].bins


def available() -> bool:
    """Whether this process has a CUDA device and triton, which is looked for and not imported."""
    return torch.cuda.is_available() and find_spec("triton") is not None


class CudaTable:
    """What was measured on one device since the last ``reset``.

    Example:
        >>> table = CudaTable(torch.device("cuda"))  # doctest: +SKIP
        >>> handle = table.measure(activation)  # doctest: +SKIP
        >>> table.read()[handle].rms  # doctest: +SKIP
        1.0

    Args:
        device: Where the tensors will be, ``cuda`` with or without an index.

    Raises:
        ModuleNotFoundError: If triton is not installed; see :func:`available`.
    """

    def __init__(self, device: torch.device) -> None:
        self._kernels = _kernels()
        self._device = _indexed(device)
        self._measured: list[_Measured] = []
        self._streams = _Streams(self._device)
        # Memory is added and never moved, so that what is being written needs not be waited for.
        self._chunks: list[Tensor] = []
        self._used: list[int] = []

    def measure(self, tensor: Tensor) -> int:
        """Launch the measurement of a tensor on the current stream and return at once.

        The tensor may be changed or freed afterwards as if the kernel were any other operation on this stream.

        Args:
            tensor: On the table's device, float32, bfloat16, float16 or float64, of any shape and any number of
                elements. One whose elements do not fill its memory without gaps is copied first.

        Returns:
            The index of its moments in what ``read`` returns.

        Raises:
            TypeError: If the dtype is another one.
            ValueError: If the tensor is on another device.
        """
        self._check(tensor)
        values = tensor.detach() if _is_dense(tensor) else tensor.detach().contiguous()
        n = values.numel()
        blocks = max(1, math.ceil(n / _BLOCK))
        rounds = math.ceil(blocks / _MOST_PROGRAMS)
        place = self._reserve(programs=math.ceil(blocks / rounds), count=n, dtype=values.dtype)
        arena = self._chunks[place.chunk]
        self._streams.enter(arena)
        with torch.cuda.device_of(values):  # triton launches on the current device
            self._kernels.moments_kernel[(place.programs,)](
                values,
                arena,
                place.start,
                place.counts,
                n,
                rounds,
                BLOCK=_BLOCK,
                WIDE=values.dtype == torch.float64,
                num_warps=_WARPS,
            )
        self._measured.append(place)
        return len(self._measured) - 1

    def read(self) -> list[Moments]:
        """Wait for the device, copy everything to the host in one piece, and merge it there.

        Returns:
            The moments of each tensor, by the handle that ``measure`` returned.
        """
        if not self._measured:
            return []
        self._streams.join()
        used = [chunk[:cells] for chunk, cells in zip(self._chunks, self._used, strict=True)]
        bases = np.cumsum([0, *self._used])
        cells = (used[0] if len(used) == 1 else torch.cat(used)).cpu().numpy()
        return _moments(cells, [(place, int(bases[place.chunk])) for place in self._measured])

    def reset(self) -> None:
        """Forget what was measured; the memory stays for the next step, in one piece."""
        self._streams.join()
        if len(self._chunks) > 1:
            self._chunks = [self._zeros(sum(len(chunk) for chunk in self._chunks))]
        elif self._chunks:
            self._chunks[0][: self._used[0]].zero_()
        self._used = [0] * len(self._chunks)
        self._measured = []
        self._streams.fork()

    def _check(self, tensor: Tensor) -> None:
        if tensor.dtype not in _EXPONENTS:
            accepted = ", ".join(str(dtype).removeprefix("torch.") for dtype in _EXPONENTS)
            raise TypeError(
                f"the kernel measures {accepted}, got {tensor.dtype}. `generic.moments` measures any dtype."
            )
        if tensor.device != self._device:
            raise ValueError(
                f"this table measures on {self._device}, got a tensor on {tensor.device}. Keep one table per device."
            )

    def _reserve(self, programs: int, count: int, dtype: torch.dtype) -> _Measured:
        chunk = max(0, len(self._chunks) - 1)
        place = _Measured(chunk, self._used[chunk] if self._used else 0, programs, count, dtype)
        if not self._chunks or place.end > len(self._chunks[chunk]):
            place = _Measured(len(self._chunks), 0, programs, count, dtype)
            self._chunks.append(self._zeros(max(place.end, _FIRST_CELLS, sum(map(len, self._chunks)))))
            self._used.append(0)
            self._streams.fork()
        self._used[place.chunk] = place.end
        return place

    def _zeros(self, cells: int) -> Tensor:
        return torch.zeros(cells, dtype=torch.int64, device=self._device)


class _Streams:
    """Keeps what several streams measure between the zeroing of the memory and its reading; with one it does nothing.

    Args:
        device: Whose streams; any but a CUDA device has none.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        self._owner: torch.cuda.Stream | None = None
        self._ready: torch.cuda.Event | None = None
        self._others: set[torch.cuda.Stream] = set()

    def fork(self) -> None:
        """Let all that is measured from now on come after what the current stream has been given so far."""
        if self._device is not None:
            self._owner = torch.cuda.current_stream(self._device)
            self._ready = self._owner.record_event()

    def enter(self, memory: Tensor) -> None:
        """Say that the current stream is about to write to ``memory``."""
        if self._device is None:
            return
        stream = torch.cuda.current_stream(self._device)
        if stream != self._owner:
            stream.wait_event(self._ready)
            memory.record_stream(stream)
        self._writing.add(stream)

    def join(self) -> None:
        """Let the current stream wait for all that have written; the host does not wait."""
        if self._device is not None:
            current = torch.cuda.current_stream(self._device)
            for stream in self._writing - {current}:
                current.wait_stream(stream)
