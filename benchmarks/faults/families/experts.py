"""Several networks in one: experts behind a gate, one body for several tasks, and ensembles that average."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Change,
    Loss,
    adam,
    adamw,
    annealed,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    constant,
    explained,
    frozen,
    nadam,
    normal,
    sgd,
    squared_error,
)
from benchmarks.faults.recipe import healthy_of
from headwater.demo import accuracy, cross_entropy


class Mixture(nn.Module):
    """Small networks, each with its share by a gate (Jacobs et al. 1991); only the best few if asked (Shazeer 2017)."""

    def __init__(
        self,
        inputs: int = 4,
        outputs: int = 1,
        experts: int = 6,
        width: int = 24,
        activation: Callable[[], nn.Module] = nn.ReLU,
        best: int | None = None,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), activation(), nn.Linear(width, outputs)) for _ in range(experts)
        )
        self.best, self.cut = best, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        scores = self.gate(x)
        if self.best is not None:
            last = scores.topk(self.best, 1).values[:, -1:]
            scores = scores.masked_fill(scores < last, -torch.inf)
        said = torch.stack([expert(x) for expert in self.experts], 1)
        said = said.detach() if self.cut else said
        return (scores.softmax(1)[:, :, None] * said).sum(1)


class Several(nn.Module):
    """One body and three heads: which digit, whether it is odd, how unlike its halves are (Caruana 1997)."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        body: list[nn.Module] = []
        for index in range(depth):
            body += [nn.Linear(width if index else 64, width), *([norm(width)] if norm else []), activation()]
            body += [nn.Dropout(dropout)] if dropout else []
        self.body = nn.Sequential(*body)
        self.heads = nn.ModuleDict(
            {"digit": nn.Linear(width, 10), "odd": nn.Linear(width, 1), "unlike": nn.Linear(width, 1)}
        )
        self.doubts = nn.Parameter(torch.zeros(3))
        self.cut = cut

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(batch, 64) to what each head says."""
        h = self.body(x)
        h = h.detach() if self.cut else h
        return {name: head(h) for name, head in self.heads.items()}


def by_task(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """A batch with a name for everything."""
    return {"pixels": x, "digit": y[:, 0].long(), "odd": y[:, 1:2], "unlike": y[:, 2:3]}


def losses(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The three tasks' losses."""
    said = model(batch["pixels"])
    return torch.stack(
        [
            F.cross_entropy(said["digit"], batch["digit"]),
            F.binary_cross_entropy_with_logits(said["odd"], batch["odd"]),
            F.mse_loss(said["unlike"], batch["unlike"]),
        ]
    )


def weighed(*weights: float) -> Loss:
    """Their sum with a weight for each."""
    return lambda model, batch: (losses(model, batch) * torch.tensor(weights)).sum()


def doubted(model: Any, batch: Any) -> Tensor:
    """Their sum, each by a learned doubt (Kendall et al. 2018)."""
    return (losses(model, batch) * torch.exp(-model.doubts) + model.doubts).sum()


def digit_accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of digits told right."""
    return float(torch.cat([(model(b["pixels"])["digit"].argmax(1) == b["digit"]).float() for b in batches]).mean())


class Ensemble(nn.Module):
    """The mean of the logits of networks that share a first layer (Lee et al. 2015, TreeNets)."""

    def __init__(self, members: int = 4, width: int = 32) -> None:
        super().__init__()
        self.trunk = nn.Linear(30, width)
        self.twigs = nn.ModuleList(nn.Linear(width, width) for _ in range(members))
        self.leaves = nn.ModuleList(nn.Linear(width, 1) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 30) to (batch, 1)."""
        h = torch.tanh(self.trunk(x))
        said = [leaf(torch.tanh(twig(h))) for twig, leaf in zip(self.twigs, self.leaves, strict=True)]
        return torch.stack(said).mean(0)


def all_dead(value: float) -> Change:
    """Start every expert's hidden layer far below 0."""
    return lambda model: biased(value, *(f"experts.{i}.0" for i in range(len(model.experts))))(model)


healthy = healthy_of(
    "experts",
    network=Mixture,
    task=tasks.regions,
    loss=squared_error,
    metric=explained,
    optimizer=adam(1e-2),
    steps=200,
)
TASKS: dict[str, Any] = {
    "network": Several,
    "task": tasks.several,
    "pack": by_task,
    "loss": weighed(1.0, 1.0, 1.0),
    "metric": digit_accuracy,
    "steps": 150,
}
TUMOURS: dict[str, Any] = {
    "network": Ensemble,
    "task": data.cancer,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
    "steps": 100,
}

mixture = healthy("mixture", 0.6, chance=0.0)
best = healthy("mixture-best-two", 0.6, chance=0.0, best=2, experts=8, optimizer=adamw(1e-2, weight_decay=0.01))
digits = healthy(
    "mixture-digits",
    0.8,
    chance=0.1,
    inputs=64,
    outputs=10,
    task=data.digits,
    loss=cross_entropy,
    metric=accuracy,
    optimizer=adam(3e-3),
    steps=120,
)
several = healthy("tasks", 0.8, chance=0.1, optimizer=adam(3e-3), **TASKS)
normed = healthy(
    "tasks-batch-norm-doubts",
    0.8,
    chance=0.1,
    norm=nn.BatchNorm1d,
    dropout=0.1,
    depth=3,
    optimizer=annealed(adamw(5e-3), 150),
    **(TASKS | {"loss": doubted}),
)
weighted = healthy(
    "tasks-weighed-elu",
    0.8,
    chance=0.1,
    activation=nn.ELU,
    optimizer=sgd(0.05, momentum=0.9),
    **(TASKS | {"loss": weighed(1.0, 0.3, 0.1)}),
)
ensemble = healthy("ensemble", 0.9, chance=0.63, optimizer=nadam(3e-3), **TUMOURS)

EXPERTS = ("experts*",)
PROGRAMS = (
    mixture,
    mixture.but("experts-dead", kinds.DEAD_BY_BIAS.at(*EXPERTS), change=all_dead(-30.0)),
    mixture.but("experts-detached", kinds.DETACHED.at(*EXPERTS), cut=True),
    mixture.but("alike", kinds.SYMMETRIC.at("gate", *EXPERTS), draw=constant(0.1)),
    best,
    best.but("experts-frozen", kinds.FROZEN.at(*EXPERTS), change=frozen("experts")),
    best.but("twenty-points", kinds.OVERFITTING, task=lambda: tasks.regions().first(20), watched=200),
    digits,
    digits.but("bytes", kinds.UNSCALED, task=data.digit_bytes),
    several,
    several.but("body-detached", kinds.DETACHED.at("body*"), cut=True),
    normed,
    normed.but("batch-of-two", kinds.NORMALIZATION.at("body*"), batch_size=2),
    normed.but("dropout", kinds.DROPOUT.at("body*"), dropout=0.97),
    weighted,
    weighted.but("weights-large", kinds.LARGE_WEIGHTS.at("body*", "heads*"), draw=normal(3.0)),
    ensemble,
    ensemble.but("rate-low", kinds.RATE_LOW, optimizer=nadam(1e-6)),
)
