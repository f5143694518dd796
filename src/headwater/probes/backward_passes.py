"""Tell the backward passes that fill ``.grad`` from those that only look: ``torch.autograd.grad`` in a penalty."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from headwater.probes.shards import Shard, shards_of


class BackwardPasses:
    """Asks the parameters themselves, by the hooks that run when a gradient has been added to ``.grad``.

    A copy or a pickle of a parameter takes no hooks along.

    Args:
        model: Whose parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad and not is_lazy(p)]
        self._handles: list[RemovableHandle] = []
        self._filling: set[int] = set()
        self._seen: set[int] = set()
        self._filled_since_call = False
        self.on_filled: Callable[[Tensor, Tensor], None] | None = (
            None  # with a parameter and its gradient, before others add
        )
        self._shards = shards_of(model)
        self._met: set[int] = set()

    def attach(self) -> None:
        """Start to listen; may be called again."""
        for parameter in self._trained if not self._handles else ():
            self._handles.append(parameter.register_post_accumulate_grad_hook(self._note_filled))

    def detach(self) -> None:
        """Stop; may be called again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._met.clear()

    @property
    def are_sharded(self) -> bool:
        """Whether parameters have stand-ins while a layer runs."""
        return bool(self._shards)

    def meet(self, module: nn.Module) -> None:
        """A module is about to run: listen to the stand-ins of its parameters."""
        for name, parameter in module._parameters.items():
            shard = self._shards.get((id(module), name))
            if shard is None or parameter is None or parameter is shard.piece or id(parameter) in self._met:
                continue
            if parameter.requires_grad:
                self._met.add(id(parameter))
                listen = partial(self._note_shard_filled, shard)
                self._handles.append(parameter.register_post_accumulate_grad_hook(listen))

    @property
    def any(self) -> bool:
        """Whether any pass was seen, at a tensor or at a parameter."""
        return bool(self._seen or self._filling)

    @property
    def all_outside(self) -> bool:
        """Whether passes were seen, and none filled ``.grad``."""
        return bool(self._seen) and not self._filling

    def note(self, task: int) -> None:
        """A gradient arrived in a pass.

        Args:
            task: Autograd's number of the pass.
        """
        self._seen.add(task)

    def moved_on(self) -> bool:
        """Whether ``.grad`` was filled since this was asked last: what is called now is another micro-batch."""
        moved, self._filled_since_call = self._filled_since_call, False
        return moved

    def counts(self, task: int) -> bool:
        """Whether a pass filled ``.grad``; all do where none did, for there is nothing else to show."""
        return task in self._filling or not self._filling

    def _note_filled(self, parameter: Tensor) -> None:
        self._filling.add(torch._C._current_graph_task_id())
        self._filled_since_call = True
        # FSDP2 calls the hooks of its pieces as well, once the gradients of all ranks are in them.
        if self.on_filled is not None and parameter.grad is not None and not self._shards:
            self.on_filled(parameter, parameter.grad)

    def _note_shard_filled(self, shard: Shard, stand_in: Tensor) -> None:
        self._filling.add(torch._C._current_graph_task_id())
        self._filled_since_call = True
        if self.on_filled is not None:
            with torch.no_grad():
                gradient = shard.gradient(stand_in)
            if gradient is not None:
                self.on_filled(shard.piece, gradient)
