"""Where this process stands among those that train together; asked of PyTorch without a word to the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.shards import groups_of
from headwater.records.place import Place, Wrapper


def place_of(model: nn.Module) -> Place:
    """The place of this process.

    Args:
        model: As it is trained, with whatever is wrapped around it.
    """
    rank, world_size = rank_and_size()
    if world_size == 1:
        return Place()
    ways: tuple[tuple[Wrapper, tuple[int, int] | None], ...] = (
        ("ddp", _of_ddp(model)),
        ("fsdp", _of_fsdp(model)),
        ("tensor", _of_tensors(model)),
    )
    for wrapper, found in ways:
        if found is not None:
            return Place(rank, world_size, *found, wrapper)
    return Place(rank, world_size, 0, rank, "none")


def rank_and_size() -> tuple[int, int]:
    """Number of this process and how many there are, by the process group or by what ``torchrun`` has set."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    told = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if all(number.isdecimal() for number in told) and int(told[0]) < int(told[1]):
        return int(told[0]), int(told[1])
    return 0, 1


def piece_of(tensor: Tensor) -> str | None:
    """Which piece of a tensor lies here, ``None`` for all of it. Ranks with the same piece hold the same numbers."""
    placements = getattr(tensor, "placements", None)
    if placements is None:
        return None
    sharded: Any = tensor  # a DTensor, whose class is there only where torch was built with distributed
    coordinate = sharded.device_mesh.get_coordinate()
    if coordinate is None:
        return "elsewhere"
    parts = [
        f"{axis}:{place}"
        for axis, (placement, place) in enumerate(zip(placements, coordinate, strict=True))
        if not placement.is_replicate() and not placement.is_partial()
    ]
    return ",".join(parts) or None


def is_spread(tensor: Tensor) -> bool:
    """Whether other processes hold a part of it."""
    return hasattr(tensor, "placements")


def is_partial(tensor: Tensor) -> bool:
    """Whether what lies here are summands of a tensor, which say nothing of its size."""
    return any(placement.is_partial() for placement in getattr(tensor, "placements", ()))


def held(tensor: Tensor) -> Tensor:
    """What of a tensor lies here, as a tensor that kernels read; the tensor itself where it is not spread."""
    inner = getattr(tensor, "_local_tensor", None)
    return tensor if inner is None else inner


def _of_ddp(model: nn.Module) -> tuple[int, int] | None:
    for module in _wrappers(model):
        if isinstance(module, nn.parallel.DistributedDataParallel):
            group = module.process_group
            return group.size(), group.rank()
    return None


def _wrappers(model: nn.Module) -> Iterator[nn.Module]:
    """The model and what it wraps: ``torch.compile`` and ``DistributedDataParallel`` in either order."""
    inner: Any = model
    while isinstance(inner, nn.Module):
        yield inner
        children = vars(inner).get("_modules")
        known = children if isinstance(children, dict) else {}
        wraps = isinstance(inner, nn.parallel.DistributedDataParallel)
        inner = known.get("module") if wraps else known.get("_orig_mod")


def _of_fsdp(model: nn.Module) -> tuple[int, int] | None:
    for module in model.modules():
        for group in groups_of(module):
            mesh = getattr(getattr(group, "mesh_info", None), "mesh", None)
            place = mesh.get_coordinate() if mesh is not None else None
            if mesh is not None and place is not None:
                return mesh.size(), _index(place, mesh.shape)
    return None


def _of_tensors(model: nn.Module) -> tuple[int, int] | None:
    """Layers spread over all ranks of a mesh see the same data there; other meshes beside it see their own."""
    rank, world_size = rank_and_size()
    for parameter in model.parameters():
        mesh = getattr(parameter, "device_mesh", None)
        if mesh is not None:
            return world_size // mesh.size(), rank // mesh.size()
    return None


def _index(place: Iterable[int], shape: Iterable[int]) -> int:
    index = 0
    for here, size in zip(place, shape, strict=True):
        index = index * size + here
    return index
