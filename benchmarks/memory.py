"""What watching costs in memory, and whether that grows with the steps.

    python -m benchmarks.memory [--only gpt2,resnet18,mlp] [--quick] [--out FOLDER]

Each arm trains in fresh processes, in turn, and three things are read there:

- the resident set: its peak from before attaching to the last step, and what it gains per step after the first quarter;
- torch's own allocations within one later step, as its profiler reports them: how much of what was allocated in the
  step is held at the same time, at most (what was allocated once and is kept shows in the resident set);
- Python's own allocations per step (``tracemalloc``), in a second training, which they slow down.

Code that is loaded once per process (numba and the compiled kernels) is told apart from what the training itself adds:
before the training, each process that will use headwater runs it once on two tiny layers.
"""

import gc
import json
import statistics
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks import machine
from benchmarks.models import CASES, Case, Mlp
from benchmarks.options import load, one_of, parser, save, say
from benchmarks.peers import ARMS, Arm
from benchmarks.session import Session
from benchmarks.tables import memory_table
from benchmarks.worker import CrashError, Worker

STEPS, TRACED = 200, 60
STEPS_OF_SLOW = {"gpt2": (40, 15)}  # at more than a second a step
RUNS = 2
FIRST_STEPS = 3
MIB = 2**20


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen cases, bare and watched."""
    options = parser(__doc__)
    options.add_argument("--only", type=partial(one_of, CASES), default=list(CASES), help=", ".join(CASES))
    given = options.parse_args(arguments)
    for key in given.only:
        slow = key in STEPS_OF_SLOW
        steps, traced = (8, 4) if given.quick else STEPS_OF_SLOW.get(key, (STEPS, TRACED))
        runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ("bare", "headwater")}
        for number in range(1 if given.quick or slow else RUNS):
            for arm, results in runs.items():
                results.append(fresh(CASES[key], ARMS[arm], steps, traced, given.threads))
                ending = results[-1]["crash"] or "done"
                say(f"memory: {CASES[key].label}, {ARMS[arm].label}, run {number + 1}: {ending}")
        result = {"label": CASES[key].label, "machine": machine.describe(given.threads), "quick": given.quick}
        result |= {"steps": steps, "runs": runs}
        cases = load(given.out, "memory").get("cases", {}) | {key: result}
        save(given.out, "memory", {"cases": {known: cases[known] for known in CASES if known in cases}})
        print(memory_table(result), flush=True)


def fresh(case: Case, arm: Arm, steps: int, traced: int, threads: int | None) -> dict[str, Any]:
    """All three measurements of one arm, each in a process of its own."""
    facts: dict[str, Any] = {"crash": None}
    for job, count in ((resident, steps), (allocated, 1), (python_growth, traced)):
        with Worker(threads) as worker:
            try:
                facts |= worker.call(job, case, arm, count)
            except CrashError as error:
                facts["crash"] = str(error)
    return facts


def resident(case: Case, arm: Arm, steps: int) -> dict[str, Any]:
    """A job: the process's memory while it trains, in MiB.

    Returns:
        ``loaded_mib``, what the arm's code takes once per process; ``peak_mib``, the peak of the training above what
        was there before it; ``growth_kib_per_step``, the slope over the last three quarters of the steps.
    """
    training(Mlp(2, 8, 8), ARMS["bare"]).detach()
    empty = rss()
    training(Mlp(2, 8, 8), arm).detach()
    start = rss()
    forget_peak()
    session = training(case, arm)
    sizes = []
    for _ in range(steps):
        session.run(1)
        sizes.append(rss())
    settled = sizes[steps // 4 :]
    growth = statistics.linear_regression(range(len(settled)), settled).slope if len(settled) > 1 else 0.0
    result = {
        "loaded_mib": (start - empty) / MIB,
        "peak_mib": (max(peak(), *sizes) - start) / MIB,
        "end_mib": (sizes[-1] - start) / MIB,
        "growth_kib_per_step": growth / 1024,
        "sizes_mib": [round((size - start) / MIB, 2) for size in sizes[:: max(1, steps // 50)]],
    }
    session.detach()
    return result


def allocated(case: Case, arm: Arm, steps: int) -> dict[str, Any]:
    """A job: the most that is held, in MiB, of what torch allocates within some steps."""
    from torch.profiler import ProfilerActivity, profile

    session = training(case, arm)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        session.run(steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = [event["args"] for event in json.loads(path.read_text())["traceEvents"] if event["name"] == "[memory]"]
    session.detach()
    return {
        "torch_peak_mib": max(event["Total Allocated"] for event in events) / MIB,
        "torch_allocations": sum(event["Bytes"] > 0 for event in events) // steps,
    }


def python_growth(case: Case, arm: Arm, steps: int) -> dict[str, Any]:
    """A job: what Python objects take more after so many steps than before them, in KiB."""
    session = training(case, arm)
    tracemalloc.start()
    session.run(2)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    session.run(steps)
    gc.collect()
    after, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    session.detach()
    return {
        "python_kib_per_step": (after - before) / steps / 1024,
        "python_peak_mib": (highest - before) / MIB,
        "traced_steps": steps,
    }


def training(case: Case, arm: Arm) -> Session:
    """A training that is under way, with the arm attached."""
    session = Session(case)
    session.attach(arm)
    session.run(FIRST_STEPS)
    return session


def rss() -> int:
    """Bytes of this process in main memory."""
    gc.collect()
    return psutil.Process().memory_info().rss


def peak() -> int:
    """Largest resident set since ``forget_peak``, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def forget_peak() -> None:
    """Start the peak anew, which Linux does on request (man 5 proc, ``clear_refs``)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


if __name__ == "__main__":
    main()
