"""Work shared among the threads PyTorch already has: its own OpenMP pool, so that no thread is added to the machine.

A second pool would fight for the cores with the first, whose threads keep spinning for milliseconds after an
operation. Where PyTorch's OpenMP cannot be reached, work is done in the calling thread.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Team:
    """The entry points of an OpenMP library, as addresses, and the function that starts a parallel region."""

    parallel: Callable[[int, int, int, int], None]
    thread_number: int
    thread_count: int

    def run(self, function: int | None, data: int, threads: int) -> None:
        """Call ``function(data)`` once in each of ``threads`` threads, and wait for all.

        Args:
            function: Address of a C function ``void f(void *)`` that neither raises nor calls Python.
            data: Address handed to it.
            threads: How many; OpenMP may give fewer.
        """
        assert function is not None  # numba's type for the address of what it has compiled
        self.parallel(function, data, threads, 0)


@cache
def team() -> Team | None:
    """PyTorch's OpenMP, ``None`` where it has none that speaks GNU's interface (as on macOS and Windows)."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
            parallel = library.GOMP_parallel
            numbers = [_address(library.omp_get_thread_num), _address(library.omp_get_num_threads)]
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return Team(parallel, *numbers)
    return None


def _candidates() -> list[Path]:
    """OpenMP libraries that are loaded into this process, PyTorch's own first."""
    maps = Path("/proc/self/maps")
    if not torch.backends.openmp.is_available() or not maps.exists():
        return []
    try:
        paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "omp" in line}
    except OSError:
        return []
    libraries = sorted(Path(path) for path in paths if Path(path).name.startswith(("libgomp", "libiomp5", "libomp")))
    own = Path(torch.__file__).parent
    return sorted(libraries, key=lambda path: own not in path.parents)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
