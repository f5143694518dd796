"""What watching costs several ranks that train together, beside what it costs one: the same network, in the same run.

    python -m benchmarks.distributed [--ranks 4] [--quick] [--out FOLDER]

Ranks are processes of ``DistributedDataParallel`` over gloo, one thread each; one rank is the same program with a
world of one. Both worlds stay alive and take turns: a block of bare steps, one that is watched, a bare one, first in
one world, then in the other. A round's figure is the watched block's median step over that of its two neighbours, by
the slowest rank; a world's is the median of its rounds. With ``every="auto"`` it is the total time of a long block.
"""

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from time import perf_counter
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import headwater as hw
from benchmarks import machine
from benchmarks.models import STILL, Mlp
from benchmarks.options import parser, save, say
from benchmarks.tables import percent
from benchmarks.worker import Worker

ROUNDS, STEPS, LONG = 12, 24, 400
LEADING = 3  # steps of a block that do not count
ARMS = {"every_step": 1, "auto": "auto"}


@dataclass
class _State:
    """What a rank keeps between its blocks."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: torch.Tensor
    classes: torch.Tensor


_rank: _State | None = None


def begin(rank: int, world: int, port: int) -> int:
    """A job: join the others and build the network; gives its number of weights."""
    global _rank
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    case = Mlp()
    torch.manual_seed(0)
    training = case.build()
    model = DistributedDataParallel(training.model)
    torch.manual_seed(rank)
    inputs, classes = torch.randn(case.batch, case.width), torch.randint(0, case.width, (case.batch,))
    _rank = _State(model, torch.optim.SGD(model.parameters(), lr=STILL), inputs, classes)
    return sum(parameter.numel() for parameter in model.parameters())


def block(steps: int, every: Any, folder: str) -> list[float]:
    """A job: seconds of each step, watched where ``every`` says how often."""
    assert _rank is not None
    seconds = []
    watch = nullcontext() if every is None else hw.watch(_rank.model, _rank.optimizer, every=every, run=folder)
    with watch:
        for _ in range(steps):
            start = perf_counter()
            _rank.optimizer.zero_grad()
            nn.functional.cross_entropy(_rank.model(_rank.inputs), _rank.classes).backward()
            _rank.optimizer.step()
            seconds.append(perf_counter() - start)
    return seconds


class World:
    """Ranks that wait for their next block."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self._workers = [Worker(threads=1) for _ in range(ranks)]
        self._pool = ThreadPoolExecutor(ranks)
        self._blocks = 0
        with socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.parameters = self._all(begin, [(rank, ranks, port) for rank in range(ranks)])[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.close()
        self._pool.shutdown()

    def block(self, steps: int, every: Any, folder: Path) -> list[float]:
        """Seconds of each step, of the slowest rank at it."""
        self._blocks += 1
        run = str(folder / f"{self.ranks}-{self._blocks}")
        of_ranks = self._all(block, [(steps + LEADING, every, run)] * self.ranks)
        return [max(step) for step in zip(*of_ranks, strict=True)][LEADING:]

    def _all(self, job: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
        """What a job comes to at each rank, all at the same time."""
        calls = [
            self._pool.submit(worker.call, job, *own) for worker, own in zip(self._workers, arguments, strict=True)
        ]
        return [call.result() for call in calls]


def main(arguments: list[str] | None = None) -> None:
    """Measure both worlds in turn; print both figures and how they compare."""
    options = parser(__doc__)
    options.add_argument("--ranks", type=int, default=4, help="processes of the larger world (default: 4)")
    given = options.parse_args(arguments)
    rounds, steps, long = (1, 4, 12) if given.quick else (ROUNDS, STEPS, LONG)
    result: dict[str, Any] = {"label": Mlp().label, "machine": machine.describe(1), "quick": given.quick}
    found: dict[str, dict[int, list[float]]] = {arm: {} for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder, World(1) as one, World(given.ranks) as many:
        for number in range(rounds):
            for world in (one, many):
                for arm, every in ARMS.items():
                    count = long if arm == "auto" else steps
                    if arm == "auto" and number % 4:
                        continue
                    ratio = _ratio(world, count, every, Path(folder))
                    found[arm].setdefault(world.ranks, []).append(ratio)
            say(f"round {number + 1} of {rounds}")
        result["parameters"] = many.parameters
    for arm, worlds in found.items():
        result[arm] = {
            str(ranks): {"overhead_pct": 100 * (statistics.median(ratios) - 1), "ratios": ratios}
            for ranks, ratios in worlds.items()
        }
        alone, together = (statistics.median(worlds[ranks]) for ranks in (1, given.ranks))
        result[arm]["together_over_alone"] = together / alone
        print(f"{arm}: one rank {percent(100 * (alone - 1))}, {given.ranks} ranks {percent(100 * (together - 1))}")
    save(given.out, "distributed", result)


def _ratio(world: World, steps: int, every: Any, folder: Path) -> float:
    """The watched block over its two bare neighbours."""
    middle = statistics.fmean if every == "auto" else statistics.median
    before = middle(world.block(steps, None, folder))
    watched = middle(world.block(steps, every, folder))
    return watched / ((before + middle(world.block(steps, None, folder))) / 2)


if __name__ == "__main__":
    main()
