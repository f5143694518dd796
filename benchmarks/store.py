"""Writing down one step, 200 sites by 16 statistics: headwater's run against TensorBoard, wandb offline and Trackio.

    python -m benchmarks.store [--quick] [--out FOLDER]

Each peer writes the same numbers the way its own documentation says, into a folder of its own, in a process of its
own; what is timed is the call in the training's thread, from an array that holds the numbers. ``between`` is written
between computations of a few milliseconds, as in a training: the processor's caches hold something else, and writers
that work in the background get their turn. ``in_a_row`` is one step after the other. The peers take turns in rounds; a
figure is the median over rounds. ``read`` is one statistic of 1e6 recorded steps at 2,000 points, opened anew.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.options import parser, save, say
from headwater.store.columns import SITES as COLUMNS

SITES, STATISTICS = 200, 16
STEPS, QUICK_STEPS = 1000, 100
ROUNDS = 5
PAUSES_S = {"between": 0.005, "in_a_row": 0.0}
READ_STEPS, QUICK_READ_STEPS = 1_000_000, 20_000
READ_SITES = 8

Write = Callable[[int, Any], object]
Close = Callable[[], object]
NAMES = [f"layer.{site}" for site in range(SITES)]


def headwater(folder: str) -> tuple[Write, Close]:
    """As ``hw.watch`` does it."""
    from headwater.store import Writer

    writer = Writer(Path(folder, "run"))
    writer.add_rows("sites", [{"name": name, "order": order} for order, name in enumerate(NAMES)])
    return lambda step, table: writer.step(step, {"sites": table}, 1.0), writer.close


def tensorboard(folder: str) -> tuple[Write, Close]:
    """``SummaryWriter.add_scalar`` for each number."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)
    tags = [[f"{name}/{number}" for number in range(STATISTICS)] for name in NAMES]

    def write(step: int, table: Any) -> None:
        for row, row_tags in zip(table[:, :STATISTICS].tolist(), tags, strict=True):
            for value, tag in zip(row, row_tags, strict=True):
                writer.add_scalar(tag, value, step)

    return write, writer.close


def wandb(folder: str) -> tuple[Write, Close]:
    """``run.log`` of one dictionary, offline."""
    import wandb as package

    run = package.init(mode="offline", dir=folder, project="benchmark", settings=package.Settings(silent=True))
    return _one_dictionary(lambda data, step: run.log(data, step=step)), run.finish


def trackio(folder: str) -> tuple[Write, Close]:
    """``trackio.log`` of one dictionary, local."""
    import os

    os.environ["TRACKIO_DIR"] = folder
    import trackio as package

    package.init(project="benchmark", embed=False)
    return _one_dictionary(lambda data, step: package.log(data, step=step)), package.finish


def _one_dictionary(log: Callable[[dict[str, float], int], object]) -> Write:
    tags = [f"{name}/{number}" for name in NAMES for number in range(STATISTICS)]
    return lambda step, table: log(dict(zip(tags, table[:, :STATISTICS].ravel().tolist(), strict=True)), step)


PEERS = {"headwater": headwater, "tensorboard": tensorboard, "wandb": wandb, "trackio": trackio}


def measure(peer: str, steps: int, pause_s: float) -> dict[str, float]:
    """Percentiles of a peer's call, in milliseconds, and what it left on disk, in bytes per step."""
    table, random, taken = np.full((SITES, len(COLUMNS)), np.nan), np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        write, close = PEERS[peer](folder)
        for step in range(steps + 20):
            table[:, :STATISTICS] = random.random((SITES, STATISTICS))
            started = time.perf_counter()
            write(step, table)
            taken.append((time.perf_counter() - started) * 1e3)
            _compute(pause_s)
        close()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    kept = np.array(taken[20:])  # the first ones open files and learn names
    p50, p99, p999 = np.percentile(kept, [50, 99, 99.9]).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": float(kept.max()), "bytes_per_step": size / steps}


def _compute(seconds: float) -> None:
    """What a training does between two steps: arithmetic, which has the caches for itself."""
    matrix: Any = np.ones((256, 256), np.float32)
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        matrix = matrix @ matrix / 256


def read_ms(steps: int) -> dict[str, float]:
    """Milliseconds until one statistic of a long run is there, its folder opened anew."""
    from headwater.store import Recording, Writer

    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder, "run"))
        writer.add_rows("sites", [{"name": str(site), "order": site} for site in range(READ_SITES)])
        random = np.random.default_rng(0)
        for step in range(steps):
            writer.step(step, {"sites": random.random((READ_SITES, len(COLUMNS)))}, 1.0)
        writer.close(wait_s=3600)
        taken = []
        for _ in range(7):
            started = time.perf_counter()
            Recording(Path(folder, "run")).read(COLUMNS[0], max_points=2000)
            taken.append((time.perf_counter() - started) * 1e3)
    return {"steps": steps, "median_ms": statistics.median(taken[1:]), "first_ms": taken[0]}


def main(arguments: list[str] | None = None) -> None:
    """All peers that are installed, in turns."""
    given = parser(__doc__).parse_args(arguments)
    steps = QUICK_STEPS if given.quick else STEPS
    described = machine.describe(given.threads)
    peers = [peer for peer in PEERS if find_spec(peer) is not None]
    for missing in PEERS.keys() - set(peers):
        say(f"{missing} is not installed, and left out")
    rounds: dict[str, dict[str, list[dict[str, float]]]] = {how: {peer: [] for peer in peers} for how in PAUSES_S}
    for number in range(1 if given.quick else ROUNDS):
        for how, pause_s in PAUSES_S.items():
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
                done = _in_a_process(peer, steps, pause_s)
                rounds[how][peer].append(done)
                say(f"{how} {peer}: p50 {done['p50_ms']:.3f} ms, p99 {done['p99_ms']:.3f} ms")
    written = {how: {peer: _medians(found) for peer, found in by_peer.items()} for how, by_peer in rounds.items()}
    read = read_ms(QUICK_READ_STEPS if given.quick else READ_STEPS)
    say(f"one statistic of {read['steps']:,.0f} steps: {read['median_ms']:.0f} ms")
    result = {"machine": described, "sites": SITES, "statistics": STATISTICS, "steps": steps, "write": written}
    save(given.out, "store", {**result, "read": read})


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _in_a_process(peer: str, steps: int, pause_s: float) -> dict[str, float]:
    measured = f"measure({peer!r}, {steps}, {pause_s})"
    code = f"import json; from benchmarks.store import measure; print('RESULT', json.dumps({measured}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


if __name__ == "__main__":
    main()
