"""Training loops as people write them, and everything about a training that watching must leave as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch._dynamo  # as the first step of an optimizer does, which changes filters for warnings
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import headwater as hw
from headwater.watching import Every, Watch
from tests.cases import Case
from tests.probes.snapshot import bits, snapshot

Loss = Callable[[Any, Any], Tensor]


def momentum(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def adam(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, loss: Loss, steps: int, watch: Watch | None = None
) -> list[Tensor]:
    """The losses of a plain loop; each is told to the watch, if there is one."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        if watch is not None:
            watch.log(loss=value)
        optimizer.step()
        losses.append(value.detach().clone())
    return losses


def surroundings() -> dict[str, Any]:
    """What of the process a watch could leave behind."""
    found: dict[str, Any] = {
        "filters": list(warnings.filters),
        "function modes": torch.overrides._len_torch_function_stack(),
        "graph task": torch._C._current_graph_task_id(),
    }
    for name, table in vars(hooks).items():
        if name.startswith("_global_") and isinstance(table, dict):
            found[name] = len(table)
    found["hooks of optimizers"] = len(_global_optimizer_pre_hooks), len(_global_optimizer_post_hooks)
    eval_frame = getattr(getattr(torch, "_dynamo", None), "eval_frame", None)
    found["stance"] = str(eval_frame._stance) if eval_frame is not None else None
    return found


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any = None) -> dict[str, Any]:
    """Weights, buffers, gradients, optimizer state, modes, random states and hooks, comparable between two runs."""
    found = {name: _without_id(value) for name, value in snapshot(model, batch).items()}
    for name, parameter in model.named_parameters():
        found[f"accumulate hooks:{name}"] = len(parameter._post_accumulate_grad_hooks or ())
    for key, value in optimizer.state_dict()["state"].items():
        found |= {f"optimizer:{key}.{name}": _comparable(item) for name, item in value.items()}
    for kind in ("pre", "post"):
        found[f"{kind} hooks of the optimizer"] = len(getattr(optimizer, f"_optimizer_step_{kind}_hooks"))
    return found


def _without_id(value: Any) -> Any:
    return value[1:] if isinstance(value, tuple) and value and isinstance(value[0], int) else value


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return bits(value) if isinstance(value, Tensor) else value


@dataclass
class Run:
    losses: list[bytes]
    state: dict[str, Any]
    watch: Watch | None


def run(
    case: Case,
    make_optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer],
    steps: int,
    every: Every | None = None,
    seed: int = 0,
) -> Run:
    """Train a case from its seed, watched or (``every=None``) not."""
    model, batch, loss = case.make(seed)
    optimizer = make_optimizer(p for p in model.parameters() if p.requires_grad)
    watch = None if every is None else hw.watch(model, optimizer, every=every)
    with nullcontext() if watch is None else watch:
        losses = train(model, optimizer, batch, loss, steps, watch)
    return Run([bits(loss) for loss in losses], state_of(model, optimizer), watch)
