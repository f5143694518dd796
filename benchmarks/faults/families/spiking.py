"""Networks that spike: leaky integrators with a step for an activation, learnt through surrogate slopes.

Marks, set by task before any training: digits 0.7 (lower than for other networks:
spikes of eight moments carry little), rhythms 0.6 (chance 0.29).
"""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import adam, adamw, frozen, of_a_copy, rmsprop
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class FastSigmoid(torch.autograd.Function):
    """A step forward, the slope of a fast sigmoid back (Zenke and Ganguli 2018)."""

    @staticmethod
    def forward(ctx, v, slope):
        ctx.save_for_backward(v)
        ctx.slope = slope
        return (v > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (v,) = ctx.saved_tensors
        return grad / (1 + ctx.slope * v.abs()) ** 2, None


def arctan(v):
    """The slope of an arc tangent, by the straight-through trick (Fang et al. 2021)."""
    soft = torch.atan(torch.pi * v) / torch.pi + 0.5
    return soft + ((v > 0).float() - soft).detach()


class LIF(nn.Module):
    """Leaks, adds up, fires beyond a threshold, and starts again."""

    def __init__(self, beta=0.8, threshold=1.0, slope=5.0, learn=False, kind="fast", no_slope=False):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(beta)) if learn else beta
        self.threshold, self.slope, self.kind, self.no_slope = threshold, slope, kind, no_slope

    def forward(self, current, v):
        v = self.beta * v + current
        over = v - self.threshold
        if self.no_slope:
            spike = (over > 0).float()  # nothing comes back through a comparison
        else:
            spike = FastSigmoid.apply(over, self.slope) if self.kind == "fast" else arctan(over)
        return spike, v - spike.detach() * self.threshold


class Spiking(nn.Module):
    """Two spiking layers over a few moments; a leaky readout that does not spike."""

    def __init__(self, inputs=64, hidden=96, outputs=10, moments=8, readout="mean", drawn=False, dropout=0.0, **neuron):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(inputs, hidden), LIF(**neuron)
        self.fc2, self.lif2 = nn.Linear(hidden, hidden), LIF(**neuron)
        self.drop = nn.Dropout(dropout)
        self.fc3 = nn.Linear(hidden, outputs)
        self.moments, self.readout, self.drawn = moments, readout, drawn

    def forward(self, x):
        v1 = x.new_zeros(len(x), self.fc1.out_features)
        v2, out, total = torch.zeros_like(v1), 0.0, 0.0
        current = self.fc1(x)
        for _ in range(self.moments):
            if self.drawn:  # pixels as chances of a spike
                current = self.fc1((torch.rand_like(x) < torch.sigmoid(2 * x)).float())
            s1, v1 = self.lif1(current, v1)
            s2, v2 = self.lif2(self.fc2(s1), v2)
            out = 0.9 * out + self.fc3(self.drop(s2))
            total = total + out
        return out if self.readout == "last" else total / self.moments


class SpikingConv(nn.Module):
    """A spiking layer of convolutions, and one of linear maps."""

    def __init__(self, width=12, moments=6, **neuron):
        super().__init__()
        self.conv, self.bn, self.lif1 = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), LIF(**neuron)
        self.fc1, self.lif2 = nn.Linear(width * 16, 64), LIF(**neuron)
        self.fc2 = nn.Linear(64, 10)
        self.moments = moments

    def forward(self, x):
        current = self.bn(self.conv(x))
        v1, v2, rate = torch.zeros_like(current), x.new_zeros(len(x), 64), 0.0
        for _ in range(self.moments):
            s1, v1 = self.lif1(current, v1)
            s2, v2 = self.lif2(self.fc1(F.max_pool2d(s1, 2).flatten(1)), v2)
            rate = rate + s2
        return self.fc2(rate / self.moments)


class Recurrent(nn.Module):
    """Spikes go back in: two waves, moment by moment."""

    def __init__(self, hidden=64, **neuron):
        super().__init__()
        self.into, self.back, self.lif = nn.Linear(2, hidden), nn.Linear(hidden, hidden, bias=False), LIF(**neuron)
        self.tell = nn.Linear(hidden, 4)
        nn.init.normal_(self.into.weight, 0.0, 1.0)
        nn.init.orthogonal_(self.back.weight, 0.5)

    def forward(self, x):
        v = x.new_zeros(len(x), self.back.in_features)
        s, out = torch.zeros_like(v), 0.0
        for now in x.view(len(x), 2, 12).unbind(2):
            s, v = self.lif(self.into(now) + self.back(s), v)
            out = 0.9 * out + self.tell(s)
        return out


healthy = healthy_of("spiking", network=Spiking, task=data.digits, optimizer=adam(3e-3), steps=80, batch_size=64)

fast = healthy("leaky", 0.7, 0.1)
atan = healthy("arc-tangent", 0.7, 0.1, kind="atan", readout="last", optimizer=adamw(3e-3))
chances = healthy("by-chance", 0.7, 0.1, drawn=True, threshold=0.7, optimizer=adam(5e-3), dropout=0.1, steps=120)
leaks = healthy("learnt-leaks", 0.7, 0.1, learn=True, beta=0.6, moments=5, optimizer=rmsprop(2e-3))
conv = healthy("convolved", 0.7, 0.1, network=SpikingConv, task=data.images, threshold=0.5, optimizer=adam(5e-3))
back = healthy("recurrent", 0.6, 0.29, network=Recurrent, task=tasks.phases, optimizer=adam(5e-3), steps=150)

# A threshold that no potential gets to: no unit ever fires, and the surrogate's slope is next to nothing there.
SILENT = Fault(("dead_units", "vanishing", "bad_init_small"), ("dead_relu", "weights_too_small", "init_mismatch"))
# A comparison has no slope: everything before it stays as it was drawn.
NO_SLOPE = Fault(("not_updating", "vanishing"), ("detached_graph", "activation_derivative"))
# A surrogate so steep that nearly nothing passes two of its layers.
STEEP = Fault(("vanishing", "not_updating", "underflow"), ("activation_derivative", "saturated_activation"))

PROGRAMS = (
    fast,
    fast.but("never-fires", SILENT.at("lif1", "lif2", "fc1", "fc2"), threshold=200.0),
    fast.but("no-slope", NO_SLOPE.at("fc1", "fc2", "lif1", "lif2"), no_slope=True),
    atan,
    atan.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(3.0)),
    chances,
    chances.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
    leaks,
    leaks.but("too-steep", STEEP.at("fc1", "fc2", "lif1", "lif2"), slope=1e4),
    leaks.but("of-a-copy", kinds.WRONG_PARAMETERS.at("*"), optimizer=of_a_copy(rmsprop(2e-3))),
    conv,
    conv.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    back,
    back.but("frozen", kinds.FROZEN.at("into", "back"), change=frozen("into", "back")),
)
