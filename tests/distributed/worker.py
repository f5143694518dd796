"""What one rank does: ``python worker.py TASKS``; the last line it prints is JSON."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import headwater as hw

Batches = Callable[[int], tuple[Tensor, Tensor]]

STEPS = 12
THOROUGH = 10  # of these, the last step that is measured with everything there is
ROWS = 8  # of a rank


class Net(nn.Module):
    """Small, with an odd number of rows in its matrices, a normalisation and a function in its forward."""

    def __init__(self, width: int = 13, hidden: int = 11) -> None:
        super().__init__()
        self.inner = nn.Linear(5, width)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(torch.tanh(self.norm(self.inner(x))))))


def model(**settings: Any) -> Net:
    torch.manual_seed(0)
    return Net(**settings)


def data(step: int, world: int) -> tuple[Tensor, Tensor]:
    """The global batch of a step."""
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(ROWS * world, 5, generator=generator)
    return x, torch.randint(0, 3, (ROWS * world,), generator=generator)


def own(batch: tuple[Tensor, Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """A rank's part of a global batch."""
    rows = slice(rank * ROWS, (rank + 1) * ROWS)
    return batch[0][rows], batch[1][rows]


def loop(net: nn.Module, watch: Any, batches: Batches, micro: int = 1, **how: Any) -> Any:
    """Train, over micro-batches if there are any; gives what came of it, to the last bit, and how often ranks spoke."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    before = collectives()
    with watch(net, optimizer) as watching:
        for step in range(how.get("steps", STEPS)):
            optimizer.zero_grad()
            total = 0.0
            for part, (x, y) in enumerate(zip(*(piece.chunk(micro) for piece in batches(step)), strict=True)):
                with joined(net, part == micro - 1):
                    loss = nn.functional.cross_entropy(net(x), y) / micro
                    loss.backward()
                total += float(loss.detach())
            if watching is not None:
                watching.log(loss=total)
            optimizer.step()
            losses.append(total)
            if how.get("told") is not None:
                with how["told"].open("a") as told:
                    told.write(f"{step}\n")
            time.sleep(how.get("pause", 0.0))
    return {"losses": losses, "weights": fingerprint(net), "collectives": collectives() - before}


def collectives() -> int:
    """How many this rank has taken part in, by the process group's own count, which no way round it escapes."""
    if not dist.is_initialized():
        return 0
    group = dist.distributed_c10d._get_default_group()
    return group._get_backend(torch.device("cpu"))._get_sequence_number_for_group()


@contextmanager
def joined(net: nn.Module, is_last: bool) -> Iterator[None]:
    """Gradients are summed over ranks with the last micro-batch alone."""
    if hasattr(net, "set_requires_gradient_sync"):
        net.set_requires_gradient_sync(is_last)
        yield
        return
    with nullcontext() if is_last or not hasattr(net, "no_sync") else net.no_sync():
        yield


def fingerprint(net: nn.Module) -> str:
    """Of the bits of all weights that lie here."""
    bits = [getattr(p, "_local_tensor", p).detach().contiguous().view(torch.uint8).numpy() for p in net.parameters()]
    return hashlib.sha256(b"".join(piece.tobytes() for piece in bits)).hexdigest()


def watching(folder: str, **settings: Any) -> Callable[..., Any]:
    return lambda net, optimizer: hw.watch(net, optimizer, run=Path(folder) / "run", **{"every": 1, **settings})


def unwatched(net: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    return nullcontext()


def wrapped(net: nn.Module, kind: str, mixed: bool = False) -> nn.Module:
    if kind == "none":
        return net
    if kind == "ddp":
        return DistributedDataParallel(net)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32) if mixed else None
    settings: dict[str, Any] = {"mp_policy": policy} if policy is not None else {}
    if kind == "hsdp":
        settings["mesh"] = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("replica", "shard"))
    fully_shard(net.hidden, **settings)
    return fully_shard(net, **settings)


def single(folder: str, ranks: int, micro: int = 1, **shape: Any) -> Any:
    """The same training in one process, on the global batches."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        parts = [own(data(step, ranks), rank) for rank in range(ranks)]
        pieces = [[piece.chunk(micro) for piece in part] for part in parts]  # a micro-batch is that of all ranks
        return tuple(torch.cat([pieces[r][k][m] for m in range(micro) for r in range(ranks)]) for k in (0, 1))

    return loop(model(**shape), watching(folder), batch, micro)


def train(folder: str, kind: str, mixed: bool = False, watched: bool = True, micro: int = 1, **settings: Any) -> Any:
    rank, world = dist.get_rank(), dist.get_world_size()
    net = wrapped(model(), kind, mixed)
    watch = watching(folder) if watched else unwatched
    if settings.pop("told", False):
        Path(folder).mkdir(parents=True, exist_ok=True)
        settings["told"] = Path(folder) / f"told-{rank}"
    return loop(net, watch, lambda step: own(data(step, world), rank), micro, **settings)


def slow(folder: str) -> Any:
    """The last rank takes its time to load a batch."""
    rank, world = dist.get_rank(), dist.get_world_size()

    def batch(step: int) -> tuple[Tensor, Tensor]:
        time.sleep(0.1 if rank == world - 1 else 0.0)
        return own(data(step, world), rank)

    return loop(wrapped(model(), "ddp"), watching(folder), batch)


def nan(folder: str) -> Any:
    """The last rank is given NaN at step 7."""
    rank, world = dist.get_rank(), dist.get_world_size()

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = own(data(step, world), rank)
        return (torch.full_like(x, torch.nan) if rank == world - 1 and step == 7 else x), y

    return loop(wrapped(model(), "ddp"), watching(folder, quiet=True), batch)


def same_data(folder: str) -> Any:
    return loop(wrapped(model(), "ddp"), watching(folder), lambda step: own(data(step, 1), 0))


def unscaled(folder: str, strange: int, factor: float = 255.0) -> Any:
    """One rank hands its data over as bytes."""
    rank, world = dist.get_rank(), dist.get_world_size()

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = own(data(step, world), rank)
        return (x * factor if rank == strange else x), y

    return loop(wrapped(model(), "ddp"), watching(folder), batch)


def uneven(folder: str) -> Any:
    """The last rank runs out of batches."""
    rank, world = dist.get_rank(), dist.get_world_size()
    net = wrapped(model(), "ddp")
    with net.join():
        steps = STEPS - 3 if rank == world - 1 else STEPS
        return loop(net, watching(folder), lambda step: own(data(step, world), rank), steps=steps)


def idle(folder: str) -> Any:
    """The last rank gets no batch at all."""
    rank, world = dist.get_rank(), dist.get_world_size()
    steps = 0 if rank == world - 1 else STEPS
    return loop(model(), watching(folder), lambda step: own(data(step, 1), 0), steps=steps)


def other_model(folder: str) -> Any:
    """The last rank builds its model otherwise."""
    rank, world = dist.get_rank(), dist.get_world_size()
    net = model(width=9 if rank == world - 1 else 13)
    return loop(net, watching(folder), lambda step: own(data(step, world), rank))


def tensor_parallel(folder: str, watched: bool = True) -> Any:
    """Layers spread over the ranks, which see the same data."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    plan = {
        "inner": ColwiseParallel(output_layouts=Replicate()),
        "hidden": ColwiseParallel(),
        "head": RowwiseParallel(),
    }
    net = parallelize_module(model(width=14, hidden=12), mesh, plan)  # even numbers can be split
    return loop(net, watching(folder) if watched else unwatched, lambda step: own(data(step, 1), 0))


class Front(nn.Module):
    """The first stage of a pipeline, its layers named as in the whole."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.inner, self.norm = net.inner, net.norm

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.inner(x)))


class Back(nn.Module):
    def __init__(self, net: Net) -> None:
        super().__init__()
        self.hidden, self.head = net.hidden, net.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x)))


def pipeline(folder: str) -> Any:
    rank = dist.get_rank()
    net = (Front, Back)[rank](model())
    stage = PipelineStage(net, rank, 2, torch.device("cpu"))
    schedule = ScheduleGPipe(stage, 2, loss_fn=nn.functional.cross_entropy)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with watching(folder)(net, optimizer):
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = own(data(step, 1), 0)
            schedule.step(x) if rank == 0 else schedule.step(target=y, losses=[])
            optimizer.step()
    return None


def batchnorm(folder: str, batch: int) -> Any:
    rank = dist.get_rank()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 3))

    def images(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * rank + step)
        return torch.randn(batch, 1, 6, 6, generator=generator), torch.randint(0, 3, (batch,), generator=generator)

    return loop(wrapped(net, "ddp"), watching(folder), images)


TASKS = {
    f.__name__: f
    for f in (
        single,
        train,
        slow,
        nan,
        same_data,
        unscaled,
        uneven,
        idle,
        other_model,
        tensor_parallel,
        pipeline,
        batchnorm,
    )
}


def main() -> None:
    torch.set_num_threads(1)
    if int(os.environ["WORLD_SIZE"]) > 1 or "ddp" in sys.argv[1]:
        dist.init_process_group("gloo")
    found = {}
    for task, folder, settings in json.loads(sys.argv[1]):
        found[Path(folder).name] = TASKS[task](folder, **settings)
    if dist.is_initialized():
        dist.destroy_process_group()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
