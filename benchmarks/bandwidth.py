"""How fast this machine reads and copies memory: no kernel that looks at every element can be faster."""

import ctypes
import ctypes.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def reader(size_bytes: int, threads: int) -> Callable[[], object]:
    """A function that reads so many bytes once, with the C library's ``memcmp``, which does little else.

    It compares one half of a buffer with the other, which is the same, so it has to go through to the end. Python
    threads do as well as any others: ``ctypes`` lets go of the interpreter's lock.

    Args:
        size_bytes: Bytes of the buffer, a multiple of 2 · ``threads``.
        threads: How many read at the same time, each its own share.
    """
    memcmp = ctypes.CDLL(ctypes.util.find_library("c")).memcmp
    memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    half = size_bytes // 2
    buffer = torch.randint(0, 127, (half,), dtype=torch.int8).repeat(2)
    share = half // threads
    first = buffer.data_ptr()
    starts = [first + number * share for number in range(threads)]

    def read(start: int) -> None:
        if memcmp(start, start + half, share):
            raise AssertionError(f"two halves of {len(buffer)} bytes that were the same are not")

    if threads == 1:
        return lambda: read(first)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(read, starts))


def copier(size_bytes: int) -> Callable[[], object]:
    """A function that copies so many bytes once, as torch does it."""
    source = torch.ones(size_bytes, dtype=torch.int8)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)
