"""Many small pieces of work on tensors in main memory, done in one call and shared among PyTorch's threads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from headwater.kernels.threads import team

_WORTH_SHARING = 1 << 16  # elements in all, as for a single tensor


def run(jobs: NDArray[np.int64], elements: int) -> None:
    """Do all jobs, in any order.

    Args:
        jobs: Rows of ``cpu.JOB`` words, as ``cpu.run_jobs`` explains; two must not write to the same place.
        elements: How many elements they read in all, to tell whether threads are worth it.
    """
    from headwater.kernels import cpu

    workers, threads = team(), torch.get_num_threads()
    if workers is None or threads == 1 or elements < _WORTH_SHARING or len(jobs) < 2:
        cpu.run_jobs(jobs)
        return
    work = np.array([jobs.ctypes.data, len(jobs), workers.thread_number, workers.thread_count], np.int64)
    workers.run(cpu.run_share.address, work.ctypes.data, min(threads, len(jobs)))
