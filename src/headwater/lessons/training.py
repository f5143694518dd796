"""Training as lessons do it: short, on small data, the same for everything that is compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.lessons.data import Split

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Trained:
    """What became of a network.

    Attributes:
        losses: Of each step; it ends at the first that is not finite.
        train: Share of training samples told right, or -loss where there are no classes.
        test: The same of the samples held out.
    """

    losses: tuple[float, ...]
    train: float
    test: float

    @property
    def gap(self) -> float:
        """How much worse it does on samples that it was not trained on."""
        return self.train - self.test


def adam(lr: float = 1e-3) -> MakeOptimizer:
    """Adam with the defaults of PyTorch, all parameters in one operation."""
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, fused=True)


def sgd(lr: float = 0.1, momentum: float = 0.0) -> MakeOptimizer:
    """Gradient descent on mini-batches, all parameters in one operation."""
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)


def train(
    model: nn.Module,
    data: Split,
    *,
    steps: int,
    optimizer: MakeOptimizer | torch.optim.Optimizer | None = None,
    batch: int | None = 64,
    loss: Loss = nn.functional.cross_entropy,
    seed: int = 0,
    after_step: Callable[[int], None] | None = None,
) -> Trained:
    """Train a network in place.

    Args:
        model: Whose output ``loss`` takes.
        data: To train and to test on.
        steps: Optimizer steps.
        optimizer: One that holds the parameters, or how to make it; Adam by default.
        batch: Samples of a step, drawn anew for each epoch; all of them if ``None``.
        loss: Of the output and the targets.
        seed: Of the order of the samples; the same for all that are compared.
        after_step: Called with the number of each step.
    """
    made = optimizer if isinstance(optimizer, torch.optim.Optimizer) else (optimizer or adam())(model.parameters())
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    rows: list[Tensor] = []
    model.train()
    for step in range(steps):
        if not rows:
            order = torch.randperm(len(data.x), generator=generator)
            rows = [order] if batch is None else list(order.split(min(batch, len(order))))
        chosen = rows.pop()
        made.zero_grad()
        value = loss(model(data.x[chosen]), data.y[chosen])
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            break
        value.backward()
        made.step()
        if after_step is not None:
            after_step(step)
    return Trained(tuple(losses), score(model, data.x, data.y, loss), score(model, data.test_x, data.test_y, loss))


def score(model: nn.Module, x: Tensor, y: Tensor, loss: Loss = nn.functional.cross_entropy) -> float:
    """Share of classes told right; where the targets are numbers, -loss."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        output = model(x)
    model.train(was_training)
    if y.dtype is torch.int64:
        return float((output.argmax(1) == y).double().mean())
    return -float(loss(output, y))
