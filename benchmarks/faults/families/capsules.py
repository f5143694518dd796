"""Parts that agree: capsules routed by agreement, slots that compete for what they explain, numbers with a phase.

Marks, set by task before any training: digits 0.8, rhythms 0.7, clouds of points 0.6 (chance 0.3).
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parameter import Parameter

from benchmarks.faults import data, kinds, tasks_third
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import adam, adamw, annealed, frozen, norm_clipped
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


def squash(s, dim=-1):
    n2 = (s**2).sum(dim, keepdim=True)
    return n2 / (1 + n2) * s / torch.sqrt(n2 + 1e-8)


class CapsNet(nn.Module):
    """Primary capsules vote for digit capsules; the longest wins (Sabour et al. 2017)."""

    def __init__(self, caps=8, size=8, out=12, rounds=2, spread=0.1):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.primary = nn.Conv2d(16, caps * size, 4, stride=2)
        self.votes = Votes(caps * 9, size, out, spread)
        self.rounds, self.size = rounds, size

    def forward(self, x):
        x = F.relu(self.conv(x))
        u = self.primary(x)
        u = u.view(u.size(0), -1, self.size, 9).transpose(2, 3).reshape(u.size(0), -1, self.size)
        u = squash(u)
        u_hat = self.votes(u)
        b = torch.zeros(u_hat.shape[:3], device=x.device)
        for r in range(self.rounds):
            c = F.softmax(b, dim=2)
            v = squash((c[..., None] * u_hat).sum(1))
            if r < self.rounds - 1:
                b = b + (u_hat.detach() * v.detach()[:, None]).sum(-1)
        return v.norm(dim=-1)


class Votes(nn.Module):
    def __init__(self, n, size, out, spread):
        super().__init__()
        self.W = Parameter(spread * torch.randn(n, 10, size, out))

    def forward(self, u):
        return torch.einsum("bni,ndio->bndo", u, self.W)


def margin_loss(model, batch, lam=0.5):
    """Long for what is there, short for what is not."""
    lengths, y = model(batch[0]), F.one_hot(batch[1], 10).float()
    left = F.relu(0.9 - lengths) ** 2
    right = F.relu(lengths - 0.1) ** 2
    return (y * left + lam * (1 - y) * right).sum(1).mean()


def scaled_entropy(model, batch):
    """Cross-entropy of lengths, which are below 1, stretched to logits."""
    return F.cross_entropy(10 * model(batch[0]), batch[1])


class SlotAttention(nn.Module):
    """Slots share out what they see (Locatello et al. 2020)."""

    def __init__(self, dim, slots, iters):
        super().__init__()
        self.mu = Parameter(torch.randn(1, slots, dim) * 0.5)
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(dim, dim)
        self.ln_in, self.ln_slot = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.iters = iters

    def forward(self, x):
        x = self.ln_in(x)
        k, v = self.k(x), self.v(x)
        slots = self.mu.expand(x.size(0), -1, -1)
        for _ in range(self.iters):
            a = torch.softmax(
                torch.einsum("bsd,bnd->bsn", self.q(self.ln_slot(slots)), k) / math.sqrt(k.size(-1)), dim=1
            )
            a = a / (a.sum(-1, keepdim=True) + 1e-6)
            slots = self.gru((a @ v).flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return slots


class SlotNet(nn.Module):
    def __init__(self, inputs=2, dim=32, slots=4, iters=2, outputs=4, places=0, dropout=0.0, act=nn.ReLU):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(inputs, dim), act(), nn.Linear(dim, dim))
        self.places = Parameter(torch.randn(places, dim) * 0.5) if places else None
        self.slots = SlotAttention(dim, slots, iters)
        self.drop = nn.Dropout(dropout)
        self.cls = nn.Sequential(nn.Linear(slots * dim, dim), act(), nn.Linear(dim, outputs))

    def forward(self, x):
        x = self.enc(x)
        if self.places is not None:
            x = x + self.places
        return self.cls(self.drop(self.slots(x).flatten(1)))


class ComplexLinear(nn.Module):
    """A complex map on numbers held as real and imaginary halves (Trabelsi et al. 2018)."""

    def __init__(self, n_in, n_out, gain=1.0):
        super().__init__()
        self.re, self.im = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        for part in (self.re, self.im):
            nn.init.normal_(part.weight, 0, gain / math.sqrt(2 * n_in))
            nn.init.zeros_(part.bias)

    def forward(self, z):
        a, b = z.chunk(2, 1)
        return torch.cat([self.re(a) - self.im(b), self.re(b) + self.im(a)], 1)


class ModReLU(nn.Module):
    """The size is rectified, the phase stays (Arjovsky et al. 2016)."""

    def __init__(self, n, bias=-0.05):
        super().__init__()
        self.bias = Parameter(torch.full((n,), bias))

    def forward(self, z):
        a, b = z.chunk(2, 1)
        size = torch.sqrt(a**2 + b**2 + 1e-6)
        gate = F.relu(size + self.bias) / size
        return torch.cat([a * gate, b * gate], 1)


class Identity(nn.Module):
    def __init__(self, n, bias=0.0):
        super().__init__()

    def forward(self, z):
        return z


class Phased(nn.Module):
    def __init__(self, width=32, depth=2, act=ModReLU, gain=1.4, bias=-0.05):
        super().__init__()
        sizes = [12] + [width] * depth
        self.maps = nn.ModuleList([ComplexLinear(a, b, gain) for a, b in itertools.pairwise(sizes)])
        self.acts = nn.ModuleList([act(b, bias) for b in sizes[1:]])
        self.fc = nn.Linear(width, 4)

    def forward(self, z):
        for f, g in zip(self.maps, self.acts, strict=False):
            z = g(f(z))
        a, b = z.chunk(2, 1)
        return self.fc(torch.sqrt(a**2 + b**2 + 1e-6))


healthy = healthy_of("capsules", network=CapsNet, task=data.images, loss=margin_loss, optimizer=adam(5e-3), steps=120)
CLOUDS = {"network": SlotNet, "task": tasks_third.clouds}
ENTROPY = {"loss": lambda m, b: F.cross_entropy(m(b[0]), b[1])}
PHASES = {"network": Phased, "task": tasks.phases, "batch_size": 100}

caps = healthy("routed", 0.8, 0.1)
caps_entropy = healthy("routed-entropy", 0.8, 0.1, loss=scaled_entropy, rounds=1, optimizer=annealed(adamw(5e-3), 120))
slots = healthy("slots", 0.6, 0.3, optimizer=adam(4e-3), steps=200, **CLOUDS, **ENTROPY)
slots_rows = healthy(
    "slots-of-patches", 0.8, 0.1, network=SlotNet, task=data.patches, inputs=4, outputs=10, slots=5, places=16,
    iters=1, dropout=0.1, act=nn.GELU, optimizer=norm_clipped(adamw(5e-3), 1.0), steps=200, **ENTROPY,
)  # fmt: skip
phased = healthy("phased", 0.7, 0.29, optimizer=adam(5e-3), **PHASES, **ENTROPY)


NEVER_OPEN = Fault(("dead_units",), ("dead_relu", "init_mismatch"))

PROGRAMS = (
    caps,
    caps.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    caps_entropy,
    slots,
    slots.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    slots_rows,
    slots_rows.but("encoder-frozen", kinds.FROZEN.at("enc*", "slots*"), change=frozen("enc", "slots")),
    slots_rows.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
    phased,
    phased.but("never-open", NEVER_OPEN.at("acts*"), bias=-30.0),
)
