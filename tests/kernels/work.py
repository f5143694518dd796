"""Jobs for the compiled kernel, as probes put them together."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headwater.kernels import cpu, jobs
from headwater.kernels.ledger import NARROW
from tests.kernels.cases import as_numpy

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Which elements of a tensor are kept: stretches of ``length`` that start at ``offsets``."""

    offsets: NDArray[np.int64]
    length: int

    @property
    def kept(self) -> int:
        return len(self.offsets) * self.length

    def of(self, tensor: Tensor) -> Numbers:
        flat = as_numpy(tensor).ravel()
        parts = [flat[start : start + self.length] for start in self.offsets]
        return np.concatenate(parts) if parts else np.empty(0)


def whole(tensor: Tensor) -> Runs:
    return Runs(np.zeros(1, np.int64), tensor.numel())


@dataclass
class Work:
    """Jobs that are collected, and done together by :meth:`run`."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    alive: list[object] = field(default_factory=list)  # what the addresses are of

    def add(self, what: int, tensor: Tensor, *words: int, elements: int | None = None) -> None:
        self.rows.append((what, NARROW[tensor.dtype], tensor.data_ptr(), *words))
        self.elements.append(tensor.numel() if elements is None else elements)
        self.alive.append(tensor)

    def keep(self, tensor: Tensor, runs: Runs) -> Numbers:
        return self._write(cpu.KEEP, tensor, runs, np.full(runs.kept, -7.0))

    def compare(self, tensor: Tensor, runs: Runs, before: Numbers) -> Numbers:
        self.alive.append(before)
        return self._write(cpu.COMPARE, tensor, runs, np.full(4, -7.0), before)

    def turn(self, tensor: Tensor, runs: Runs, before: Numbers) -> Numbers:
        self.alive.append(before)
        return self._write(cpu.TURN, tensor, runs, np.full(3, -7.0), before)

    def signs(self, gradient: Tensor, units: int) -> Numbers:
        """Σ coherence over units, and how many units have signs; the moments on the way are nobody's."""
        result, row = np.full(2, -7.0), np.zeros(cpu.ROW, np.int64)
        self.alive += [result, row]
        width = gradient.numel() // max(1, units)
        self.add(cpu.SUMMARISE, gradient, gradient.numel(), row.ctypes.data, width, result.ctypes.data)
        return result

    def run(self) -> None:
        table = np.zeros((len(self.rows), cpu.JOB), np.int64)
        for number, row in enumerate(self.rows):
            table[number, : len(row)] = row
        jobs.run(table, np.array(self.elements, np.int64))

    def _write(self, what: int, tensor: Tensor, runs: Runs, result: Numbers, *before: Numbers) -> Numbers:
        words = runs.offsets.ctypes.data, len(runs.offsets), runs.length
        addresses = [array.ctypes.data for array in (*before, result)]
        self.alive += [runs.offsets, result]
        self.add(what, tensor, *words, *addresses, elements=runs.kept)
        return result


def coherence(signs: Numbers) -> float:
    """The mean over units; NaN for none."""
    total, units = signs.tolist()
    return total / units if units else math.nan


def all_jobs(tensor: Tensor) -> list[Numbers]:
    """What the jobs that are done for every parameter make of a tensor whose elements were 1 before."""
    runs, before, results = whole(tensor), np.ones(tensor.numel()), []
    jobs_of = (
        lambda work: work.keep(tensor, runs),
        lambda work: work.compare(tensor, runs, before),
        lambda work: work.turn(tensor, runs, before),
        lambda work: work.signs(tensor, 1),
    )
    for add in jobs_of:  # one after the other: they write to the same places
        work = Work()
        results.append(add(work))
        work.run()
    return [*results, before]
