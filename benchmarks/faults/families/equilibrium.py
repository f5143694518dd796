"""One layer over and over: fixed points, unrolled shrinkage, tied transformers, halting, inner descent, memories.

Marks, set by task before any training: digits 0.8, tumours 0.88, sparse codes R² 0.3, Friedman's function 0.6.
"""

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    frozen,
    huber,
    norm_clipped,
    normal,
    of_the_last,
    redrawn,
    rmsprop,
    scaled,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class FixedPoint(nn.Module):
    """z = tanh(Wz + Ux + b), run until it stays; the gradient is the last step's alone (Bai et al. 2019)."""

    def __init__(self, inputs=64, outputs=10, width=64, rounds=12, free=False, norm=False, lost=False):
        super().__init__()
        self.inject = nn.Linear(inputs, width)
        self.again = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.again.weight, 0.6)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.read = nn.Linear(width, outputs)
        self.rounds, self.free, self.lost = rounds, free, lost

    def forward(self, x):
        u = self.inject(x)
        z = torch.zeros_like(u)
        with torch.set_grad_enabled(self.free and torch.is_grad_enabled()):
            for _ in range(self.rounds):
                z = torch.tanh(self.norm(self.again(z) + u))
        if self.free:
            return self.read(z)
        if self.lost:
            return self.read(z)
        return self.read(torch.tanh(self.norm(self.again(z) + u)))


class Shrinkage(nn.Module):
    """Unrolled iterations of soft thresholds (LISTA; Gregor and LeCun 2010)."""

    def __init__(self, rounds=6, tied=True, threshold=0.1):
        super().__init__()
        count = 1 if tied else rounds
        self.encode = nn.Linear(tasks.MEASURED, tasks.HIDDEN, bias=False)
        self.again = nn.ModuleList([nn.Linear(tasks.HIDDEN, tasks.HIDDEN, bias=False) for _ in range(count)])
        self.thresholds = nn.Parameter(torch.full((rounds, tasks.HIDDEN), threshold))
        self.scale = nn.Parameter(torch.ones(tasks.HIDDEN))
        self.rounds = rounds

    def forward(self, x):
        b = self.encode(x)
        z = torch.zeros_like(b)
        for k in range(self.rounds):
            v = b + self.again[k % len(self.again)](z)
            z = torch.sign(v) * F.relu(v.abs() - self.thresholds[k])
        return z * self.scale


class Tied(nn.Module):
    """The same transformer layer several times (Dehghani et al. 2019), each time told which time it is."""

    def __init__(self, dim=32, rounds=3, cut=False):
        super().__init__()
        self.embed = nn.Linear(4, dim)
        self.place = nn.Parameter(torch.randn(16, dim) * 0.1)
        self.moment = nn.Parameter(torch.randn(rounds, 1, dim) * 0.1)
        self.layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.out = nn.Linear(dim, 10)
        self.cut = cut

    def forward(self, x):
        x = self.embed(x) + self.place
        for moment in self.moment:
            x = self.layer(x + moment)
        return self.out((x.detach() if self.cut else x).mean(1))


class Halting(nn.Module):
    """Thinks until it is sure; an answer is a mean over when it stops (PonderNet; Banino et al. 2021)."""

    def __init__(self, inputs=30, width=32, rounds=8, start=-1.0):
        super().__init__()
        self.rnn = nn.GRUCell(inputs, width)
        self.answer = nn.Linear(width, 1)
        self.stop = nn.Linear(width, 1)
        nn.init.constant_(self.stop.bias, start)
        self.rounds = rounds

    def forward(self, x):
        h = x.new_zeros(len(x), self.rnn.hidden_size)
        going, total = 1.0, 0.0
        for k in range(self.rounds):
            h = self.rnn(x, h)
            stop = torch.sigmoid(self.stop(h)) if k < self.rounds - 1 else 1.0
            total = total + going * stop * self.answer(h)
            going = going * (1 - stop)
        return total


class Descent(nn.Module):
    """The answer is where an energy is least: a few steps down it, learnt through (Belanger and McCallum 2016)."""

    def __init__(self, rounds=5, rate=0.5, width=48):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(11, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus())
        self.total = nn.Linear(width, 1)
        self.start = nn.Linear(10, 1)
        self.rounds, self.rate = rounds, rate

    def forward(self, x):
        with torch.enable_grad():
            y = self.start(x) + torch.zeros(len(x), 1, requires_grad=True)
            for _ in range(self.rounds):
                e = self.total(self.energy(torch.cat([x, y], 1))).sum() + 0.5 * y.square().sum()
                (slope,) = torch.autograd.grad(e, y, create_graph=True)
                y = y - self.rate * slope
        return y


class Hopfield(nn.Module):
    """Patterns that are learnt are looked up again and again (Ramsauer et al. 2021)."""

    def __init__(self, patterns=40, beta=4.0, rounds=3):
        super().__init__()
        self.query = nn.Linear(64, 32)
        self.patterns = nn.Parameter(torch.randn(patterns, 32))
        self.out = nn.Linear(32, 10)
        self.beta, self.rounds = beta, rounds

    def forward(self, x):
        q = self.query(x)
        for _ in range(self.rounds):
            q = F.softmax(self.beta * F.normalize(q, dim=1) @ F.normalize(self.patterns, dim=1).T, 1) @ self.patterns
        return self.out(q)


CODES = {"network": Shrinkage, "task": tasks.codes, "loss": squared_error, "metric": explained}
TUMOURS = {"network": Halting, "task": data.cancer, "loss": binary_cross_entropy, "metric": binary_accuracy}
FRIEDMAN = {"network": Descent, "task": data.friedman, "loss": huber, "metric": explained}

healthy = healthy_of("equilibrium", network=FixedPoint, task=data.digits, optimizer=adam(3e-3), steps=150)

one_step = healthy("one-step-gradient", 0.8, 0.1)
unrolled = healthy(
    "unrolled", 0.8, 0.1, free=True, norm=True, rounds=8, optimizer=norm_clipped(sgd(0.2, momentum=0.9), 1.0)
)
shrinkage = healthy("shrinkage", 0.3, 0.0, optimizer=adam(5e-3), steps=300, batch_size=128, **CODES)
untied = healthy("shrinkage-untied", 0.3, 0.0, tied=False, threshold=0.05, optimizer=rmsprop(2e-3), steps=300, **CODES)
tied = healthy("tied", 0.8, 0.1, network=Tied, task=data.patches, optimizer=warmed(adamw(6e-3), 20), batch_size=48)
halting = healthy("halting", 0.88, 0.63, optimizer=adam(5e-3), **TUMOURS)
descent = healthy("inner-descent", 0.6, 0.0, optimizer=adam(1e-2), steps=250, **FRIEDMAN)
hopfield = healthy("memory", 0.8, 0.1, network=Hopfield, optimizer=adamw(1e-2), steps=200)

# What is cut off is the whole way to the fixed point, and no step is taken after it.
NO_STEP = Fault(("not_updating",), ("detached_graph",))

PROGRAMS = (
    one_step,
    one_step.but("no-step-after", NO_STEP.at("inject", "again", "norm"), lost=True),
    one_step.but("again-large", kinds.SATURATED_TIME.at("again", "inject", "norm"), change=scaled(40.0, "again")),
    unrolled,
    unrolled.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(50.0, momentum=0.9)),
    shrinkage,
    shrinkage.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    untied,
    untied.but("explodes", kinds.EXPLODING_TIME.at("again*"), change=redrawn(normal(2.0), "again")),
    tied,
    tied.but("cut", kinds.DETACHED.at("embed", "layer*"), cut=True),
    halting,
    descent,
    descent.but("energy-frozen", kinds.FROZEN.at("energy*", "total"), change=frozen("energy", "total")),
    hopfield,
    hopfield.but("out-only", kinds.WRONG_PARAMETERS.at("query"), optimizer=of_the_last(adamw(1e-2), 2)),
)
