"""headwater's CPU kernel against one ``tensor.sum()``, eight torch reductions and the memory itself.

    python -m benchmarks.kernels [--quick] [--out FOLDER]

float32 from 2^18 to 2^25 elements, other dtypes at three sizes, with one thread and with all. All contestants take
turns on the same tensor; the figures are medians. ``crossover`` shows from which size on a second thread helps, which
sets ``_WORTH_SHARING`` in ``headwater.kernels.ledger``.
"""

import os
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks import machine
from benchmarks.options import parser, save, say
from benchmarks.tables import kernel_table
from benchmarks.worker import Worker

FLOAT32 = [("float32", 1 << power) for power in range(18, 26)]
OTHERS = [(dtype, 1 << power) for dtype in ("bfloat16", "float16", "float64") for power in (18, 22, 25)]
SMALL = [1 << power for power in range(12, 20)]
QUICK = [("float32", 1 << 18), ("bfloat16", 1 << 18), ("float16", 1 << 18), ("float64", 1 << 18)]
BUDGET_S = 0.5  # for each contestant at each size
FEWEST, MOST = 5, 200
SHORT_S = 0.02
NEVER = 1 << 62


def main(arguments: list[str] | None = None) -> None:
    """Measure with one thread and with all of them, each in a process of its own."""
    given = parser(__doc__).parse_args(arguments)
    threads = sorted({1, given.threads or os.cpu_count() or 1})
    sizes = QUICK if given.quick else FLOAT32 + OTHERS
    described = machine.describe(threads[-1])
    rows, bounds = [], []
    for number in threads:
        with Worker(number) as worker:
            for dtype, count in sizes:
                rows.append(worker.call(contest, dtype, count, number, given.quick))
                say(f"kernels: {dtype}, {count:,} elements, threads: {number}")
            if number > 1:
                bounds = worker.call(crossover, SMALL[:2] if given.quick else SMALL)
    result = {"machine": described, "quick": given.quick, "rows": rows, "crossover": bounds}
    save(given.out, "kernels", result)
    print(kernel_table(result), flush=True)


def contest(dtype: str, count: int, threads: int, quick: bool = False) -> dict[str, Any]:
    """Median milliseconds of everyone on one tensor, and bytes per second of the memory at that size."""
    import torch

    from benchmarks.bandwidth import copier, reader
    from benchmarks.peers.reductions import eight
    from headwater.kernels.ledger import Ledger, moments

    torch.manual_seed(0)
    tensor = torch.randn(count).to(getattr(torch, dtype))
    ledger = Ledger()
    size_bytes = tensor.nbytes

    def measure() -> None:
        ledger.measure(tensor)
        ledger.clear()

    contestants = {
        "ledger": measure,
        "moments": lambda: moments(tensor),
        "sum": lambda: tensor.sum(),
        "reductions": lambda: eight(tensor),
        "read": reader(size_bytes, threads),
        "copy": copier(size_bytes),
    }
    seconds = in_turn(contestants, 0.02 if quick else BUDGET_S)
    return {
        "dtype": dtype,
        "elements": count,
        "threads": threads,
        "bytes": size_bytes,
        **{f"{name}_ms": 1e3 * value for name, value in seconds.items()},
        "read_gb_per_s": size_bytes / seconds["read"] / 1e9,
        "copy_gb_per_s": 2 * size_bytes / seconds["copy"] / 1e9,  # each byte is read once and written once
    }


def crossover(counts: list[int]) -> list[dict[str, Any]]:
    """Milliseconds of the kernel on small tensors, in the calling thread alone and shared among all.

    It changes the bounds that decide about sharing, for the rest of this process.
    """
    import torch

    from headwater.kernels import ledger as module

    module._PART = 1
    ledger = module.Ledger()

    def measure(tensor: torch.Tensor, worth_sharing: int) -> None:
        module._WORTH_SHARING = worth_sharing
        ledger.measure(tensor)
        ledger.clear()

    rows = []
    for count in counts:
        tensor = torch.randn(count)
        ways = {"alone": partial(measure, tensor, NEVER), "shared": partial(measure, tensor, 0)}
        rows.append({"elements": count, **{f"{way}_ms": 1e3 * s for way, s in in_turn(ways, 0.1).items()}})
    return rows


def in_turn(contestants: Mapping[str, Callable[[], object]], budget_s: float) -> dict[str, float]:
    """Median seconds of each, called one after the other, over and over.

    Args:
        contestants: What to call.
        budget_s: Seconds that each should take altogether, within limits.
    """
    once = {name: min(_seconds(call) for _ in range(2)) for name, call in contestants.items()}
    calls = {name: max(FEWEST, min(MOST, int(budget_s / second))) for name, second in once.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    turns = max(calls.values())
    for turn in range(turns):
        for name, call in contestants.items():
            # Spread evenly, so that a slow one meets the same stretches of time as a quick one.
            if (turn + 1) * calls[name] // turns == turn * calls[name] // turns:
                continue
            if once[name] < SHORT_S:
                call()  # the one before it has left other data in the cache
            seconds[name].append(_seconds(call))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


if __name__ == "__main__":
    main()
