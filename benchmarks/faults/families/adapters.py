"""Fine-tuning: low-rank updates, a new head, bottlenecks and thawed layers on networks taught other digits first.

Marks by task, set before training: digits 5 to 9 by a network taught 0 to 4: 0.8. Dropped: pixels in other
units, which harmed a network that was taught before too little to count; and a head alone, which stayed below the mark.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import adam, adamw, minibatches, of_a_copy, rmsprop, sgd
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

WIDTH = 56


class Backbone(nn.Module):
    """Rows of a digit through attention, or all pixels through linear layers."""

    def __init__(self, attention: bool = False) -> None:
        super().__init__()
        if attention:
            self.embed = nn.Linear(8, WIDTH)
            self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
            self.fc1, self.fc2 = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
            self.places = nn.Parameter(0.1 * torch.randn(8, WIDTH))
        else:
            self.fc1, self.fc2, self.fc3 = nn.Linear(64, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Linear(WIDTH, 5)
        self.attention = attention

    def features(self, x: Tensor) -> Tensor:
        if not self.attention:
            return F.relu(self.fc3(F.relu(self.fc2(F.relu(self.fc1(x))))))
        x = self.embed(x.view(-1, 8, 8)) + self.places
        q, k, v = (part(x).view(len(x), 8, 4, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return (x + self.fc2(F.gelu(self.fc1(x)))).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


@cache
def taught(attention: bool) -> Backbone:
    """A backbone that tells the digits 0 to 4, taught once per process from one seed."""
    states = torch.get_rng_state()
    torch.manual_seed(7)
    network = Backbone(attention)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(12):
        for x, y in minibatches(data.low_digits().train, 64):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    torch.set_rng_state(states)
    return network


class LoRALinear(nn.Module):
    """A frozen map and a low-rank update (Hu et al. 2021), divided by the rank's root if so (Kalajdzievski 2023)."""

    def __init__(
        self, linear: nn.Linear, r: int, alpha: float, p: float = 0.0, rooted: bool = False, zero_both: bool = False
    ) -> None:
        super().__init__()
        self.linear = linear
        self.lora_A = nn.Parameter(torch.zeros(r, linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, r))
        if not zero_both:
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(p)
        self.scaling = alpha / (math.sqrt(r) if rooted else r)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.scaling * (self.dropout(x) @ self.lora_A.T @ self.lora_B.T)


class Adapter(nn.Module):
    """A bottleneck with a shortcut behind a frozen map."""

    def __init__(self, linear: nn.Linear, r: int, bias: float = 0.0) -> None:
        super().__init__()
        self.linear = linear
        self.down, self.up = nn.Linear(linear.out_features, r), nn.Linear(r, linear.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        nn.init.constant_(self.down.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        return h + self.up(F.relu(self.down(h)))


class Tuned(nn.Module):
    """A taught backbone with what is added to it."""

    def __init__(
        self,
        how: str = "lora",
        targets: tuple[str, ...] = ("fc1", "fc2", "fc3"),
        attention: bool = False,
        new_head: bool = True,
        thaw: tuple[str, ...] = (),
        softmax: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.model = Backbone(attention)
        self.model.load_state_dict(taught(attention).state_dict())
        self.model.requires_grad_(how == "full")
        added = {"lora": LoRALinear, "adapter": Adapter}.get(how)
        for name in targets if added else ():
            setattr(self.model, name, added(getattr(self.model, name), **options))
        for name in thaw:
            getattr(self.model, name).requires_grad_(True)
        if new_head:
            self.model.classifier = nn.Linear(WIDTH, 5)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        return y.softmax(1) if self.softmax else y


# What a huge factor before an update that starts at nothing does is what a huge rate does.
SCALED_UP = Fault((*kinds.RATE_HIGH.symptoms, "exploding"), ("learning_rate_high", "weights_too_large"))

healthy = healthy_of("adapters", network=Tuned, task=data.high_digits, optimizer=adamw(5e-3), steps=120, batch_size=32)
LORA: dict[str, Any] = {"r": 4, "alpha": 8.0}
OLD: dict[str, Any] = {"new_head": False}
ATTENTION: dict[str, Any] = {"attention": True, "targets": ("q", "v")}

lora = healthy("lora-new-head", 0.8, 0.2, **LORA)
lora_old = healthy("lora-old-head", 0.8, 0.2, optimizer=adam(0.01), steps=200, **LORA, **OLD)
rooted = healthy("lora-rooted-dropout", 0.8, 0.2, r=8, alpha=4.0, p=0.1, rooted=True, optimizer=rmsprop(2e-3))
attention = healthy("lora-query-value", 0.8, 0.2, optimizer=adamw(0.01), steps=200, **ATTENTION, **LORA)
momentum = healthy("lora-sgd", 0.8, 0.2, r=2, alpha=4.0, optimizer=sgd(0.01, momentum=0.9))
thawed = healthy("last-layers-thawed", 0.8, 0.2, how="thaw", thaw=("fc2", "fc3"), optimizer=sgd(0.1), steps=200)
full = healthy("whole-small-rate", 0.8, 0.2, how="full", optimizer=adam(5e-4), batch_size=16)
adapter = healthy("bottlenecks", 0.8, 0.2, how="adapter", r=8)
adapter_attention = healthy(
    "bottlenecks-in-attention",
    0.8,
    0.2,
    how="adapter",
    attention=True,
    targets=("o", "fc2"),
    r=6,
    optimizer=adamw(0.01),
    steps=350,
)

PROGRAMS = (
    lora,
    lora.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(3.0)),
    lora_old,
    lora_old.but("both-zero", kinds.ZEROS.at("model.fc*"), zero_both=True),
    lora_old.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    rooted,
    rooted.but("alpha-large", SCALED_UP, alpha=4000.0),
    attention,
    attention.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(0.01))),
    momentum,
    momentum.but(
        "softmax", kinds.SOFTMAX_TWICE.at("", "model.classifier"), softmax=True, optimizer=sgd(0.005, momentum=0.9)
    ),
    thawed,
    full,
    full.but("rate-high", kinds.RATE_HIGH, optimizer=adam(0.3)),
    adapter,
    adapter_attention,
)
