"""Programs that look odd and do well: none of them may raise a warning."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from tests.diagnosis.test_symptoms import Run, batches, network

adam = partial(torch.optim.Adam, lr=3e-3)


class LowRank(nn.Module):
    """LoRA on a base that nobody ever trained."""

    def __init__(self, inputs: int, outputs: int, rank: int = 8) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.down.T @ self.up.T


def low_rank() -> nn.Module:
    return nn.Sequential(LowRank(64, 64), nn.ReLU(), LowRank(64, 64), nn.ReLU(), nn.Linear(64, 10))


def random_features() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 512).requires_grad_(False), nn.ReLU(), nn.Linear(512, 10))


class Quantised(nn.Module):
    """A vector-quantised autoencoder: gradients go straight through what is rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.codes, self.decoder = nn.Linear(64, 16), nn.Embedding(32, 16), nn.Linear(16, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encoder(x)
        code = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
        return self.decoder(z + (code - z).detach()), z, code


def quantised_loss(model: Any, batch: Any) -> Tensor:
    y, z, code = model(batch[0])
    return F.mse_loss(y, batch[0]) + F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())


class Bootstrapped(nn.Module):
    """One network predicts what its slow twin says of another view (Grill et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.predictor = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))


def bootstrapped_loss(model: Any, batch: Any) -> Tensor:
    one, other = (batch[0] + 0.3 * torch.randn_like(batch[0]) for _ in range(2))
    return -F.cosine_similarity(model.predictor(model.online(one)), model.target(other)).mean()


class WarmUp(torch.optim.Adam):
    """From a rate of 0."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.0)
        self.taken = 0

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["lr"] = 3e-3 * min(1.0, self.taken / 20)
        self.taken += 1
        return super().step(closure)


def focal(model: Any, batch: Any) -> Tensor:
    each = F.cross_entropy(model(batch[0]), batch[1], reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def mixed_up(model: Any, batch: Any) -> Tensor:
    share, other = (0.7 if model.training else 1.0), torch.randperm(len(batch[0]))
    output = model(share * batch[0] + (1 - share) * batch[0][other])
    return share * F.cross_entropy(output, batch[1]) + (1 - share) * F.cross_entropy(output, batch[1][other])


def softened(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)


def one_against_all(model: Any, batch: Any) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), F.one_hot(batch[1], 10).float())


def in_batches(size: int) -> Callable[[], list[tuple[Tensor, Tensor]]]:
    return lambda: batches(size=size)


def half() -> nn.Module:
    return network().bfloat16()


def in_half(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0].bfloat16()).float(), batch[1])


PROGRAMS: dict[str, Run] = {
    "LoRA on a random base": Run(low_rank, optimizer=partial(torch.optim.Adam, lr=1e-2), steps=40),
    "random features": Run(random_features, optimizer=partial(torch.optim.Adam, lr=1e-2), steps=40),
    "vector quantisation": Run(Quantised, loss=quantised_loss, validated=False, steps=60),
    "target network": Run(Bootstrapped, loss=bootstrapped_loss, validated=False, steps=40),
    "warm-up from 0": Run(optimizer=WarmUp, steps=40),
    "warm-up from 0, one look": Run(optimizer=WarmUp),
    "focal loss": Run(loss=focal, steps=40),
    "mix-up": Run(loss=mixed_up, steps=40),
    "label smoothing": Run(loss=softened, steps=40),
    "one against all": Run(loss=one_against_all, steps=40),
    "two samples per batch": Run(batches=in_batches(2), optimizer=partial(torch.optim.Adam, lr=1e-3), steps=80),
    "all samples per batch": Run(batches=in_batches(10_000), optimizer=adam, steps=30),
    "very wide": Run(partial(network, width=1024), optimizer=partial(torch.optim.Adam, lr=3e-4), steps=20),
    "very narrow": Run(partial(network, width=12), optimizer=partial(torch.optim.Adam, lr=5e-3), steps=100),
    "PReLU": Run(partial(network, nn.PReLU), steps=30),
    "decoupled decay": Run(optimizer=partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1), steps=40),
    "after three steps": Run(steps=3),
    "after twelve steps": Run(optimizer=partial(torch.optim.Adam, lr=1e-3), steps=12),
    "bfloat16": Run(half, loss=in_half, optimizer=partial(torch.optim.SGD, lr=0.1), validated=False, steps=40),
    "loss a thousand times": Run(loss=lambda m, b: 1000 * F.cross_entropy(m(b[0]), b[1]), steps=40),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_odd_program_raises_no_warning(name: str) -> None:
    run = PROGRAMS[name]
    report = hw.check(run.experiment(), steps=run.steps, seed=0)
    assert [f for f in report.findings if f.severity != "info"] == []
