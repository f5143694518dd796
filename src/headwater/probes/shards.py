"""Parameters that FSDP2 shards, and the whole ones that stand in for them while a layer runs.

A sharded parameter never gets a gradient by itself: autograd fills that of its stand-in, whose pieces are then summed
over ranks and put into ``.grad``. FSDP2 does not say so in public; where a version of PyTorch keeps it elsewhere, there
is nothing here, and what hangs on it is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from torch import Tensor, nn


def groups_of(module: nn.Module) -> Iterable[Any]:
    """What FSDP2 knows of a module it was applied to, a group of parameters each; nothing of other modules."""
    find = getattr(module, "_get_fsdp_state", None)
    state = find() if find is not None else None
    several = getattr(state, "_fsdp_param_groups", None)  # since torch 2.13
    return several if several is not None else filter(None, [getattr(state, "_fsdp_param_group", None)])


def shards_of(model: nn.Module) -> dict[tuple[int, str], Shard]:
    """The sharded parameters of a model, by ``id`` of the module and name in it."""
    found: dict[tuple[int, str], Shard] = {}
    for module in model.modules():
        for group in groups_of(module):
            for parameter in getattr(group, "fsdp_params", ()):
                with suppress(AttributeError):  # a version that calls these things otherwise
                    shard = Shard(parameter)
                    found |= dict.fromkeys(shard.places, shard)
    return found


class Shard:
    """One parameter of which each rank holds a piece.

    Args:
        of_fsdp: What FSDP2 knows of it.
    """

    def __init__(self, of_fsdp: Any) -> None:
        self._of_fsdp = of_fsdp
        self.piece: Tensor = of_fsdp.sharded_param

    @property
    def places(self) -> Iterator[tuple[int, str]]:
        """Where it stands: ``id`` of the module and name in it; several where layers share it."""
        info = self._of_fsdp._module_info
        yield id(info.module), info.param_name
        for module, name in zip(info.shared_modules, info.shared_param_names, strict=True):
            yield id(module), name

    def gradient(self, stand_in: Tensor) -> Tensor | None:
        """What this process's own batches have brought so far: micro-batches before may lie beside, in another type."""
        before, latest = self._of_fsdp.unsharded_accumulated_grad, stand_in.grad
        if before is None or latest is None:
            return latest if before is None else before
        return before + latest.to(before.dtype)
