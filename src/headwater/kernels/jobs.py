"""Many small pieces of work on tensors in main memory, done in one call and shared among PyTorch's threads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from headwater.kernels.threads import team

_WORTH_SHARING = 1 << 16  # elements in all, as for a single tensor


def run(jobs: NDArray[np.int64], elements: NDArray[np.int64]) -> None:
    """Do all jobs; neighbours are done by one thread, so that those on one tensor find it in that core's cache.

    Args:
        jobs: Rows of ``cpu.JOB`` words, as ``cpu.run_jobs`` explains; two must not write to the same place.
        elements: How many elements each of them reads, to make the threads' shares alike.
    """
    from headwater.kernels import cpu

    workers, threads = team(), torch.get_num_threads()
    done = np.cumsum(elements)
    if workers is None or threads == 1 or not len(jobs) or done[-1] < _WORTH_SHARING:
        cpu.run_jobs(jobs)
        return
    bounds = np.searchsorted(done, done[-1] * np.arange(threads + 1) / threads).astype(np.int64)
    bounds[-1] = len(jobs)
    addresses = jobs.ctypes.data, threads, bounds.ctypes.data
    work = np.array([*addresses, workers.thread_number, workers.thread_count], np.int64)
    workers.run(cpu.run_share.address, work.ctypes.data, threads)
