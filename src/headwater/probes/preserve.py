"""Leave a model exactly as it was found."""

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.tree import tensors


@contextmanager
def preserved(model: nn.Module, batch: Any = None) -> Iterator[Callable[[Iterable[Tensor]], None]]:
    """Put back everything a measurement moves: ``.grad``, weights, buffers, train/eval mode and the random states.

    The weights too, of which one copy is held: a forward may move some (the average of a momentum encoder), and so may
    an optimizer that steps inside the backward pass.

    Gives a function that takes further leaves under its care: those of the loss, or of what made the batch.

    Args:
        model: The model that will be run.
        batch: Its leaf tensors' ``.grad`` are put back too.
    """
    gradients: dict[int, tuple[Tensor, Tensor | None]] = {}

    def set_aside(leaves: Iterable[Tensor]) -> None:
        for leaf in leaves:
            if id(leaf) not in gradients:
                gradients[id(leaf)] = leaf, leaf.grad
                leaf.grad = None

    modes = [(module, module.training) for module in model.modules()]
    tables: list[dict[str, Any]] = [t for m in model.modules() for t in (m._buffers, m._parameters)]
    contents = [(table, dict(table), _copies(table)) for table in tables]
    randomness = random_states()
    set_aside([*model.parameters(), *(t for t in tensors(batch) if t.is_leaf and t.requires_grad)])
    # Callbacks run in reverse, each whatever the others do: what cannot fail is put back last, that is surely.
    with ExitStack() as restore:
        restore.callback(_restore_gradients, gradients)
        restore.callback(_restore_modes, modes)
        for table, originals, copies in contents:
            restore.callback(_restore_table, table, originals, copies)
        restore.callback(restore_random_states, randomness)
        yield set_aside


class Strangers:
    """What a training moves that is not the model's: weights of a loss with layers of its own, and their ``.grad``.

    Args:
        model: What is trained; its own parameters are left to whoever trains it.
        optimizer: What else it holds is taken under care at once.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        self._own = {id(parameter) for parameter in model.parameters()}
        self._kept: dict[int, tuple[Tensor, Tensor | None, Tensor]] = {}
        self.keep(parameter for group in (optimizer.param_groups if optimizer else ()) for parameter in group["params"])

    def keep(self, leaves: Iterable[Tensor]) -> None:
        """Take leaves under care, and set their ``.grad`` aside."""
        for leaf in leaves:
            if id(leaf) not in self._own and id(leaf) not in self._kept:
                self._kept[id(leaf)] = leaf, leaf.grad, leaf.detach().clone()
                leaf.grad = None

    def moved(self) -> list[tuple[Tensor, Tensor]]:
        """Those that are not what they were, each with a copy of what it is now."""
        return [(leaf, leaf.detach().clone()) for leaf, _, copy in self._kept.values() if not _identical(leaf, copy)]

    def put_back(self) -> None:
        """Everything as it was."""
        for leaf, gradient, copy in self._kept.values():
            leaf.grad = gradient
            if not _identical(leaf, copy):
                leaf.data.copy_(copy)


@contextmanager
def strangers_kept(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Iterator[Strangers]:
    """Put back what a training moves that is not the model's; see :class:`Strangers`."""
    strangers = Strangers(model, optimizer)
    try:
        yield strangers
    finally:
        strangers.put_back()


@contextmanager
def put_in(values: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let tensors hold other values inside the block."""
    values = list(values)
    before = [leaf.detach().clone() for leaf, _ in values]
    try:
        for leaf, value in values:
            leaf.data.copy_(value)
        yield
    finally:
        for (leaf, _), value in zip(values, before, strict=True):
            leaf.data.copy_(value)


def leaves_under(value: Tensor) -> list[Tensor]:
    """The leaf tensors whose ``.grad`` a backward pass from here adds to."""
    seen, waiting, found = {value.grad_fn}, [value.grad_fn], []
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            found.append(node.variable)
        new = {source for source, _ in node.next_functions} - seen
        seen |= new
        waiting += new
    return found


def _restore_gradients(gradients: dict[int, tuple[Tensor, Tensor | None]]) -> None:
    for leaf, gradient in gradients.values():
        leaf.grad = gradient


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _copies(table: dict[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in table.items() if value is not None}


def _restore_table(table: dict[str, Any], originals: dict[str, Any], copies: dict[str, Tensor]) -> None:
    for name in set(table) - set(originals):
        del table[name]
    table.update(originals)
    for name, copy in copies.items():
        if not _identical(table[name], copy):
            # Through `.data`, which has a version count of its own: a graph the caller still holds stays usable.
            table[name].data.copy_(copy)


def _identical(a: Tensor, b: Tensor) -> bool:
    if a.is_meta or a.layout is not torch.strided or a.is_nested or a.is_mkldnn:
        return True  # cannot be compared; the tensor itself is put back, and hardly anything writes into such a one
    # NaN equals nothing, so a buffer that holds one is written back; that is harmless.
    return a.shape == b.shape and bool(torch.equal(a.detach(), b))


def random_states() -> list[Any]:
    """The states of every random generator a training program is likely to draw from."""
    numpy = sys.modules.get("numpy")
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    return [random.getstate(), numpy.random.get_state() if numpy else None, torch.get_rng_state(), cuda, mps]


def restore_random_states(states: list[Any]) -> None:
    """Put back what :func:`random_states` gave."""
    python, numpy_state, cpu, cuda, mps = states
    random.setstate(python)
    if numpy_state is not None:
        sys.modules["numpy"].random.set_state(numpy_state)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    if mps is not None:
        torch.mps.set_rng_state(mps)
