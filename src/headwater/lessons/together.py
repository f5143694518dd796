"""Several chains trained side by side: one batched product per layer for all of them.

Deep narrow networks spend their time starting operations, so five seeds take little longer than one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from headwater.lessons.data import Split


class Together(nn.Module):
    """Chains of the same shape, each with its own weights.

    Args:
        chains: Built alike; their weights are copied.
    """

    def __init__(self, chains: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(_side_by_side(modules) for modules in zip(*chains, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(chains, samples, features) to (chains, samples, outputs)."""
        for step in self.steps:
            x = step(x)
        return x


@dataclass(frozen=True)
class TrainedTogether:
    """What became of the chains.

    Attributes:
        model: All of them.
        losses: (steps, chains).
    """

    model: Together
    losses: Tensor

    @property
    def mean_losses(self) -> list[float]:
        """Over the chains, step by step."""
        means: list[float] = self.losses.mean(1).tolist()
        return means

    def shares(self, x: Tensor, y: Tensor) -> tuple[float, ...]:
        """Share of samples that each chain tells right."""
        with torch.no_grad():
            output = self.model(x.expand(self.losses.shape[1], *x.shape))
        return tuple((output.argmax(2) == y).double().mean(1).tolist())


def train_together(
    chains: Sequence[nn.Sequential],
    data: Split,
    *,
    steps: int,
    lr: float,
    seeds: Sequence[int],
    batch: int = 64,
    schedule: Callable[[int], float] = lambda step: 1.0,
) -> TrainedTogether:
    """Train chains side by side with Adam, each as if it were alone: nothing that is added up reaches across.

    Args:
        chains: Built alike; they stay as they are.
        data: Classes to tell apart.
        steps: Of the optimizer.
        lr: Learning rate.
        seeds: Of the order of the samples, one per chain.
        batch: Samples of a step.
        schedule: What the learning rate is multiplied by at each step.
    """
    model = Together(chains)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    rows: list[Tensor] = []
    losses = torch.zeros(steps, len(chains))
    for step in range(steps):
        if not rows:
            order = torch.stack([torch.randperm(len(data.x), generator=generator) for generator in generators])
            rows = [part for part in order.split(batch, dim=1) if part.shape[1] == batch]
        chosen = rows.pop()
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(step)
        optimizer.zero_grad()
        output = model(data.x[chosen])
        each = nn.functional.cross_entropy(output.flatten(0, 1), data.y[chosen].flatten(), reduction="none")
        each = each.view(len(chains), batch).mean(1)
        losses[step] = each.detach()
        each.sum().backward()
        optimizer.step()
    return TrainedTogether(model, losses)


class _Affine(nn.Module):
    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class _Activations(nn.Module):
    """Activations with parameters of their own, such as PReLU."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.one = copy.deepcopy(modules[0]).requires_grad_(False)
        names = [name for name, _ in self.one.named_parameters()]
        self.own = nn.ParameterDict({n: torch.stack([m.get_parameter(n).detach() for m in modules]) for n in names})

    def forward(self, x: Tensor) -> Tensor:
        return vmap(lambda own, part: functional_call(self.one, own, (part,)))(dict(self.own), x)


def _side_by_side(modules: Sequence[nn.Module]) -> nn.Module:
    affine = [module for module in modules if isinstance(module, nn.Linear)]
    if affine:
        return _Affine(affine)
    return _Activations(modules) if any(True for _ in modules[0].parameters()) else modules[0]
