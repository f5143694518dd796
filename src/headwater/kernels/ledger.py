"""Summaries of many tensors: measured now, in one pass and without waiting for a device, and read later."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.kernels import generic
from headwater.kernels.threads import team
from headwater.records import Moments

Row = NDArray[np.int64]

NARROW = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""The types the compiled kernel reads, by the number it knows them by."""
SUMMARY = (
    "count",
    "nan",
    "inf",
    "rms",
    "mean",
    "std",
    "norm",
    "abs_max",
    "zero_fraction",
    "subnormal_fraction",
)
"""The columns of :meth:`Ledger.summaries`."""
_TINY_EXPONENT = (-126, -126, -14)  # floor(log₂) of the smallest normal number
_WORD = 8  # bytes
_FIRST_CAPACITY = 256
# From this many elements on two threads are faster than one (benchmarks/kernels.py).
_WORTH_SHARING = 1 << 16
_PART = 1 << 14  # elements below which no thread gets a share of its own


class Ledger:
    """A table with one row per measured tensor; the rows are kept until :meth:`clear`.

    ``measure`` reads the tensor's elements now and keeps no reference to it. Tensors in main memory of up to 32 bits
    per element go through the compiled kernel, those on a GPU through the one written for it, and everything else
    through plain torch operations: the summary has the same meaning (``reference.moments``).
    """

    def __init__(self) -> None:
        from headwater.kernels import cpu

        self._cpu = cpu
        self._rows = np.zeros((_FIRST_CAPACITY, cpu.ROW), np.int64)
        self._kinds: list[int] = []
        self._others: dict[int, Moments] = {}
        self._cuda: _CudaRows | None = None
        self._gpu_kernel_failed = False
        self._shares = np.zeros((1, cpu.ROW), np.int64)
        self._job = np.zeros(7, np.int64)
        self._address = self._rows.ctypes.data
        self._stride = cpu.ROW * _WORD

    def __len__(self) -> int:
        return len(self._kinds)

    def clear(self) -> None:
        """Forget all rows."""
        self._kinds.clear()
        self._others.clear()
        if self._cuda is not None:
            self._cuda.clear()

    def measure(self, tensor: Tensor) -> int:
        """Summarise a tensor's elements.

        Args:
            tensor: Any shape, dtype, layout and device; see ``generic.moments`` for what counts of unusual ones.

        Returns:
            The number of the row, for :meth:`moments`.
        """
        row = len(self._kinds)
        kind = NARROW.get(tensor.dtype, -1)
        if kind < 0 or type(tensor) not in _PLAIN or tensor.layout is not torch.strided or not tensor.is_cpu:
            self._measure_other(row, tensor)
            return self.reserve(-1)
        if not tensor.is_contiguous() or tensor.is_neg():
            tensor = dense(tensor)
        address, count = tensor.data_ptr(), tensor.numel()
        if not address and count:
            self._others[row] = _without_memory(tensor)
            return self.reserve(-1)
        self.reserve(kind)
        if count < _WORTH_SHARING:
            self._cpu.summarise(kind, address, count, self._address + row * self._stride)
        else:
            self._share(kind, address, count, self._address + row * self._stride)
        return row

    def reserve(self, kind: int) -> int:
        """A row for the compiled kernel to write to; see :meth:`address`.

        Args:
            kind: Of the elements, as in ``NARROW``; -1 for a row that is held elsewhere.
        """
        row = len(self._kinds)
        if row == len(self._rows):
            self._grow()
        self._kinds.append(kind)
        return row

    def address(self, row: int) -> int:
        """Where a row lies, until the next one is reserved."""
        return self._address + row * self._stride

    def moments(self, row: int) -> Moments:
        """The summary in a row.

        Raises:
            IndexError: If there is no such row, as after :meth:`clear`.
        """
        kind = self._kinds[row]
        if kind >= 0:
            return decoded(self._rows[row], self._cpu.BINS, self._cpu.LOWEST, _TINY_EXPONENT[kind])
        if row not in self._others and self._cuda is not None:
            self._others.update(self._cuda.read())
        return self._others[row]

    def merged(self, rows: Iterable[int]) -> Moments | None:
        """The summary of several rows together, ``None`` for no rows."""
        parts = [self.moments(row) for row in rows]
        return Moments.merge_all(parts) if parts else None

    def log10_rms(self, row: int) -> float:
        """log₁₀ of the rms of a row's finite elements; -inf for zeros or nothing."""
        if self._kinds[row] < 0:
            value = self.moments(row).log10_rms
            return -math.inf if value is None else value
        cpu, counts = self._cpu, self._rows[row]
        numbers = counts.view(np.float64)
        finite = int(counts[cpu.COUNT] - counts[cpu.NAN] - counts[cpu.INF])
        square = float(numbers[cpu.M2]) / finite + float(numbers[cpu.MEAN]) ** 2 if finite else 0.0
        return math.log10(square) / 2 if square > 0 else -math.inf

    def log10_rms_of_all(self, rows: list[int]) -> float:
        """log₁₀ of the rms of all rows' finite elements together; -inf for zeros or nothing."""
        cpu = self._cpu
        narrow = [row for row in rows if self._kinds[row] >= 0]
        counts = self._rows[narrow][:, : cpu.HISTOGRAM]
        finite = counts[:, cpu.COUNT] - counts[:, cpu.NAN] - counts[:, cpu.INF]
        numbers = counts.view(np.float64)
        squares = float((numbers[:, cpu.M2] + numbers[:, cpu.MEAN] ** 2 * finite).sum())
        # The bounds say that there are units to keep to: those of a float64 may be 2**1000 away.
        bound = 1.0 if squares else 0.0
        parts = [Moments(count=int(finite.sum()), scaled_m2=squares, min=-bound, max=bound)] if len(narrow) else []
        parts += [self.moments(row) for row in rows if self._kinds[row] < 0]
        value = Moments.merge_all(parts).log10_rms
        return -math.inf if value is None else value

    def counts(self, row: int) -> tuple[int, int]:
        """How many elements a row has, and how many of them are NaN or Inf."""
        if self._kinds[row] < 0:
            moments = self.moments(row)
            return moments.count, moments.nonfinite_count
        counts = self._rows[row]
        return int(counts[self._cpu.COUNT]), int(counts[self._cpu.NAN] + counts[self._cpu.INF])

    def summaries(self, groups: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """What tables hold of groups of rows, each merged into one: far quicker than a :meth:`merged` for each.

        Args:
            groups: Rows that belong together; an empty group is unknown.

        Returns:
            A row per group with the columns of ``SUMMARY``; NaN for what is not known.
        """
        out = np.full((len(groups), len(SUMMARY)), math.nan)
        plain = [place for place, rows in enumerate(groups) if len(rows) == 1 and self._kinds[rows[0]] >= 0]
        rows = [groups[place][0] for place in plain]
        out[plain] = self._summaries_compiled(np.array(rows, np.int64))
        quick = set(plain)
        for place, rest in enumerate(groups):
            if place not in quick and len(rest):
                merged = self.merged(rest)
                assert merged is not None
                out[place] = summary(merged)
        return out

    def _summaries_compiled(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        cpu = self._cpu
        if not len(rows):
            return np.empty((0, len(SUMMARY)))
        counts = self._rows[rows]
        numbers = counts.view(np.float64)
        count, nan, inf, zero = counts[:, cpu.COUNT : cpu.ZERO + 1].T.astype(np.float64)
        finite = count - nan - inf
        exponent = counts[:, cpu.EXPONENT].astype(np.int32)
        tiny = np.array(_TINY_EXPONENT, np.int64)[np.array([self._kinds[row] for row in rows])] - cpu.LOWEST
        histogram = counts[:, cpu.HISTOGRAM : cpu.HISTOGRAM + int(tiny.max())]
        subnormal = np.where(np.arange(histogram.shape[1]) < tiny[:, None], histogram, 0).sum(axis=1)
        low, high = numbers[:, cpu.MIN], numbers[:, cpu.MAX]
        with np.errstate(all="ignore"):
            mean = numbers[:, cpu.MEAN]
            known = finite > 0
            abs_max = np.where(known, np.maximum(np.abs(low), np.abs(high)), math.nan)
            m2 = numbers[:, cpu.M2]
            rms = np.ldexp(np.sqrt(m2 / finite + mean**2), exponent)
            std = np.where(finite > 1, np.ldexp(np.sqrt(m2 / (finite - 1)), exponent), math.nan)
            rms = np.where(known, np.minimum(rms, abs_max), math.nan)
            mean = np.where(known, np.clip(np.ldexp(mean, exponent), -abs_max, abs_max), math.nan)
            norm = np.where(known, np.ldexp(np.sqrt(m2 + finite * numbers[:, cpu.MEAN] ** 2), exponent), math.nan)
            columns = (count, nan, inf, rms, mean, std, norm, abs_max, zero / count, subnormal / count)
        return np.stack(columns, axis=1)

    def nonfinite(self) -> int:
        """How many elements of all rows together are NaN or Inf."""
        cpu, used = self._cpu, len(self._kinds)
        narrow = np.array([kind >= 0 for kind in self._kinds], bool)
        counted = int(self._rows[:used, cpu.NAN : cpu.INF + 1][narrow].sum())
        return counted + sum(self.moments(row).nonfinite_count for row in range(used) if not narrow[row])

    def _measure_other(self, row: int, tensor: Tensor) -> None:
        if tensor.is_cuda and type(tensor) in _PLAIN and tensor.layout is torch.strided:
            from headwater.kernels import cuda

            if tensor.dtype in cuda.DTYPES and cuda.available() and self._has_measured_on_gpu(row, tensor):
                return
        self._others[row] = moments(tensor)

    def _has_measured_on_gpu(self, row: int, tensor: Tensor) -> bool:
        """Measure with the kernel for GPUs; where it cannot be built (no C compiler, say), never again."""
        if self._cuda is None and not self._gpu_kernel_failed:
            self._cuda = _CudaRows()
        if self._cuda is None:
            return False
        try:
            self._cuda.measure(row, tensor)
        except Exception as error:
            warnings.warn(
                f"headwater's GPU kernel does not run here ({type(error).__name__}: {error}); "
                "slower torch operations take its place.",
                RuntimeWarning,
                stacklevel=2,
            )
            self._others.update(self._cuda.read())
            self._cuda, self._gpu_kernel_failed = None, True
            return False
        return True

    def _share(self, kind: int, address: int, count: int, row: int) -> None:
        """Measure with several threads, each into rows of its own that are then joined."""
        workers, threads = team(), torch.get_num_threads()
        if workers is None or threads == 1:
            self._cpu.summarise(kind, address, count, row)
            return
        parts = max(1, min(threads, count // _PART))
        if len(self._shares) < parts:
            self._shares = np.zeros((parts, self._cpu.ROW), np.int64)
        rows = self._shares.ctypes.data
        self._job[:] = kind, address, count, parts, rows, workers.thread_number, workers.thread_count
        workers.run(self._cpu.summarise_share.address, self._job.ctypes.data, parts)
        self._cpu.join(row, rows, parts)

    def _grow(self) -> None:
        self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._address = self._rows.ctypes.data


class _CudaRows:
    """Rows that wait on the GPU until the first of them is read."""

    def __init__(self) -> None:
        from headwater.kernels import cuda

        self._table = cuda.CudaTable()
        self._handles: dict[int, int] = {}

    def measure(self, row: int, tensor: Tensor) -> None:
        self._handles[row] = self._table.measure(tensor)

    def read(self) -> dict[int, Moments]:
        summaries = self._table.read()
        return {row: summaries[handle] for row, handle in self._handles.items()}

    def clear(self) -> None:
        self._table.reset()
        self._handles.clear()


_PLAIN = {Tensor, torch.nn.Parameter}


def summary(moments: Moments) -> list[float]:
    """The columns of ``SUMMARY``, read off a record."""
    values = (
        moments.count,
        moments.nan_count,
        moments.inf_count,
        moments.rms,
        moments.mean,
        moments.std,
        moments.norm,
        moments.abs_max,
        moments.zero_fraction,
        moments.subnormal_fraction,
    )
    return [math.nan if value is None else float(value) for value in values]


def moments(tensor: Tensor) -> Moments:
    """Counts, range, first two moments and histogram of a tensor's elements, by the quickest kernel there is for it.

    Args:
        tensor: Any shape, dtype, layout and device; see ``generic.moments`` for what counts of unusual ones.
    """
    tensor = tensor.detach()
    if not tensor.is_cpu or tensor.layout is not torch.strided or type(tensor) is not Tensor:
        return generic.moments(tensor)
    if tensor.dtype not in NARROW and tensor.dtype is not torch.float64:
        return generic.moments(tensor)
    values = dense(tensor)
    if not values.data_ptr() and values.numel():
        return _without_memory(values)
    return _moments_narrow(values, NARROW[values.dtype]) if values.dtype in NARROW else _moments_wide(values)


def _without_memory(tensor: Tensor) -> Moments:
    """Of elements that lie nowhere: zeros that torch has not written down, or something freed, with no values then."""
    return generic.moments(tensor) if tensor._is_zerotensor() else Moments()


def dense(tensor: Tensor) -> Tensor:
    """The same elements in one piece of memory, in whatever order costs no copy."""
    if tensor.is_neg():
        tensor = tensor.resolve_neg()  # its memory holds the numbers with the other sign
    if tensor.is_contiguous():
        return tensor
    if tensor.is_nested:
        return generic.plain(tensor)
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1)
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.detach().permute(order).contiguous()  # no copy if that was all


def _moments_narrow(values: Tensor, kind: int) -> Moments:
    from headwater.kernels import cpu

    counts = np.zeros(cpu.ROW, np.int64)
    cpu.summarise(kind, values.data_ptr(), values.numel(), counts.ctypes.data)
    return decoded(counts, cpu.BINS, cpu.LOWEST, _TINY_EXPONENT[kind])


def _moments_wide(values: Tensor) -> Moments:
    from headwater.kernels import cpu

    counts = np.zeros(cpu.ROW_WIDE, np.int64)
    cpu.summarise_wide(values.data_ptr(), values.numel(), counts.ctypes.data)
    return decoded(counts, cpu.BINS_WIDE, cpu.LOWEST_WIDE, -1022)


def decoded(counts: Row, bins: int, lowest: int, tiny_exponent: int) -> Moments:
    """A row of the compiled kernel as a record.

    Args:
        counts: The row's words.
        bins: Length of its histogram.
        lowest: floor(log₂) that the first bin counts.
        tiny_exponent: floor(log₂) of the smallest normal number of the elements' type.
    """
    from headwater.kernels import cpu

    count, nan_count, inf_count, zero_count = counts[cpu.COUNT : cpu.ZERO + 1].tolist()
    finite = count - nan_count - inf_count
    if not finite:
        return Moments(count=count, nan_count=nan_count, inf_count=inf_count)
    mean, abs_sum, m2, low, high = counts[cpu.MEAN : cpu.MAX + 1].view(np.float64).tolist()
    histogram = counts[cpu.HISTOGRAM : cpu.HISTOGRAM + bins]
    used = np.flatnonzero(histogram)
    return Moments(
        count=count,
        nan_count=nan_count,
        inf_count=inf_count,
        zero_count=zero_count,
        subnormal_count=int(histogram[: tiny_exponent - lowest].sum()),
        exponent=int(counts[cpu.EXPONENT]),
        scaled_mean=mean,
        scaled_abs_mean=abs_sum / finite,
        scaled_m2=m2,
        min=low,
        max=high,
        log2_histogram=tuple(zip((used + lowest).tolist(), histogram[used].tolist(), strict=True)),
    )
