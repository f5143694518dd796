"""Tell the backward passes that fill ``.grad`` from those that only look: ``torch.autograd.grad`` in a penalty."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle


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

    def attach(self) -> None:
        """Start to listen; may be called again."""
        for parameter in self._trained if not self._handles else ():
            self._handles.append(parameter.register_post_accumulate_grad_hook(self._note_filled))

    def detach(self) -> None:
        """Stop; may be called again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

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
