"""Fine-tuning: low-rank matrices beside frozen weights, or all weights of a network that knows digits below 5.

The network is trained on the digits 0 to 4 first and then adapted to 5 to 9. Marks by task, as
:mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import adam, adamw, of_a_copy, scaled, sgd
from benchmarks.faults.recipe import healthy_of


def backbone() -> nn.Sequential:
    """Three hidden layers."""
    return nn.Sequential(
        *(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 5))
    )


@cache
def trained_weights() -> dict[str, Tensor]:
    """What the network knows of the digits 0 to 4."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = backbone()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        x, y = data.low_digits().train
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


class LoRA(nn.Module):
    """Frozen weights and a product of two small matrices (Hu et al. 2022)."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, both_zero: bool) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        if both_zero:
            nn.init.zeros_(self.lora_A)
        self.scaling = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)


class Adapted(nn.Module):
    """The trained network with a new head, and what may be trained of the rest."""

    def __init__(
        self,
        how: str = "lora",
        rank: int = 4,
        alpha: float = 8.0,
        both_zero: bool = False,
    ) -> None:
        super().__init__()
        body = backbone()
        body.load_state_dict(trained_weights())
        if how == "lora":
            body = nn.Sequential(
                *(LoRA(m, rank, alpha, both_zero) if isinstance(m, nn.Linear) else m for m in body[:-1]), nn.Identity()
            )
        self.body = nn.Sequential(*body[:-1])
        self.classifier = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x))


healthy = healthy_of("lowrank", network=Adapted, task=data.high_digits, optimizer=adam(5e-3), steps=120, batch_size=32)

lora = healthy("lora", 0.8, 0.2)
lora_eight = healthy("lora-rank-8-adamw", 0.8, 0.2, rank=8, alpha=16.0, optimizer=adamw(3e-3, weight_decay=0.05))
full = healthy("all-weights", 0.8, 0.2, how="full", optimizer=adam(5e-4))
full_sgd = healthy("all-weights-momentum", 0.8, 0.2, how="full", optimizer=sgd(0.02, momentum=0.9))

PROGRAMS = (
    lora,
    lora.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    lora.but("both-zero", kinds.ZEROS.at("body.*"), both_zero=True),
    lora_eight,
    lora_eight.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(3e-3))),
    full,
    full.but("old-weights-large", kinds.LARGE_WEIGHTS.at("body*"), change=scaled(30.0, "body")),
    full.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.high_digits().shuffled_targets(), watched=120),
    full_sgd,
    full_sgd.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(5.0, momentum=0.9)),
)
