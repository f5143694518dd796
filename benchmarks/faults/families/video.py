"""Clips of a moving blob: convolutions over space and time, recurrent convolutions, frames in turn, a turned gaze.

Marks, set by task before any training: eight directions 0.6 (chance 0.18), the next frame R² 0.5, digits 0.8.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    explained,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    redrawn,
    squared_error,
)
from benchmarks.faults.recipe import healthy_of


class C3D(nn.Module):
    def __init__(self, width=12, norm=True, factored=False, act=nn.ReLU, cut=False, softmax=False):
        super().__init__()

        def conv(inp, oup):
            if factored:  # (2+1)D: over the picture, then over time
                return nn.Sequential(
                    nn.Conv3d(inp, oup, (1, 3, 3), padding=(0, 1, 1)),
                    act(),
                    nn.Conv3d(oup, oup, (3, 1, 1), padding=(1, 0, 0)),
                )
            return nn.Conv3d(inp, oup, 3, padding=1)

        self.conv1, self.conv2 = conv(1, width), conv(width, 2 * width)
        self.bn1 = nn.BatchNorm3d(width) if norm else nn.Identity()
        self.bn2 = nn.BatchNorm3d(2 * width) if norm else nn.Identity()
        self.act = act()
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.fc = nn.Linear(2 * width * 6 * 4, 8)
        self.cut, self.softmax = cut, softmax

    def forward(self, x):
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = F.adaptive_max_pool3d(self.act(self.bn2(self.conv2(x))), (6, 2, 2)).flatten(1)
        x = self.fc(x.detach() if self.cut else x)
        return torch.softmax(x, 1) if self.softmax else x


class Frames(nn.Module):
    """A small network for each frame, a recurrent one over frames."""

    def __init__(self, width=16, hidden=32, norm=True, act=nn.ReLU, rnn="GRU", dropout=0.0):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.GroupNorm(2, width) if norm else nn.Identity(),
            act(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            act(),
            nn.Flatten(),
            nn.Linear(width * 25, hidden),
            act(),
        )
        self.rnn = getattr(nn, rnn)(hidden, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, 8)

    def forward(self, x):
        b, c, t, h, w = x.shape
        feats = self.cnn(x.transpose(1, 2).reshape(b * t, c, h, w)).view(b, t, -1)
        return self.fc(self.drop(self.rnn(feats)[0][:, -1]))


class ConvLSTM(nn.Module):
    """Gates that are convolutions (Shi et al. 2015); tells the next frame, from the last one on."""

    def __init__(self, hidden=8, forget=1.0, residual=True, gain=None):
        super().__init__()
        self.gates = nn.Conv2d(1 + hidden, 4 * hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, 1, 3, padding=1)
        self.hidden, self.residual = hidden, residual
        nn.init.zeros_(self.gates.bias)
        nn.init.constant_(self.gates.bias[hidden : 2 * hidden], forget)
        if gain:
            nn.init.normal_(self.gates.weight, 0.0, gain)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), self.hidden, x.size(3), x.size(4))
        for frame in x.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        y = self.out(h)
        return (y + x[:, -1] if self.residual else y).flatten(1)


class Difference(nn.Module):
    """Differences of frames as channels, and a plain network of convolutions: the next frame."""

    def __init__(self, width=24, depth=2, act=nn.LeakyReLU):
        super().__init__()
        layers = [nn.Conv2d(5, width, 3, padding=1), act()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), act()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        x = x[:, :, 0]
        return self.head(self.body(torch.cat([x[:, 1:] - x[:, :-1], x[:, -1:]], 1))).flatten(1)


class Turned(nn.Module):
    """Looks where it wants to: a picture is turned and shifted before it is read (Jaderberg et al. 2015)."""

    def __init__(self, width=16, act=nn.ReLU):
        super().__init__()
        self.where = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), act(), nn.Linear(32, 6))
        nn.init.zeros_(self.where[3].weight)
        self.where[3].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        self.read = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            act(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            act(),
            nn.Flatten(),
        )
        self.fc = nn.Linear(16 * width, 10)

    def forward(self, x):
        grid = F.affine_grid(self.where(x).view(-1, 2, 3), x.shape, align_corners=False)
        return self.fc(self.read(F.grid_sample(x, grid, align_corners=False)))


healthy = healthy_of("video", network=C3D, task=tasks.clips, optimizer=adam(3e-3), steps=80, batch_size=32)
NEXT = {"task": tasks.next_frames, "loss": squared_error, "metric": explained}

c3d = healthy("space-and-time", 0.6, 0.18)
factored = healthy("space-then-time", 0.6, 0.18, factored=True, optimizer=adamw(5e-3))
frames = healthy("frame-by-frame", 0.6, 0.18, network=Frames, optimizer=adam(3e-3), steps=100)
frames_elu = healthy(
    "frame-by-frame-elu",
    0.6,
    0.18,
    network=Frames,
    norm=False,
    act=nn.ELU,
    rnn="LSTM",
    dropout=0.2,
    optimizer=norm_clipped(nadam(3e-3), 1.0),
    steps=100,
)
convlstm = healthy("convlstm", 0.5, 0.0, network=ConvLSTM, optimizer=adam(1e-2), **NEXT)
difference = healthy("differences", 0.5, 0.0, network=Difference, optimizer=adam(3e-3), **NEXT)
turned = healthy("turned-gaze", 0.8, 0.1, network=Turned, task=data.images, optimizer=adam(3e-3), steps=80)

PROGRAMS = (
    c3d,
    c3d.but("softmax", kinds.SOFTMAX_TWICE, softmax=True),
    c3d.but("forty-clips", kinds.OVERFITTING, task=lambda: tasks.clips().first(40), watched=80),
    factored,
    factored.but("cut", kinds.DETACHED.at("conv1*", "conv2*", "bn1", "bn2"), cut=True),
    frames,
    frames.but("fc-only", kinds.WRONG_PARAMETERS.at("cnn*", "rnn"), optimizer=of_the_last(adam(3e-3), 2)),
    frames_elu,
    frames_elu.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
    convlstm,
    convlstm.but("gates-large", kinds.SATURATED_TIME.at("gates"), gain=15.0),
    convlstm.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    difference,
    turned,
    turned.but("dead", kinds.DEAD_BY_BIAS.at("read*"), change=biased(-10.0, "read.0", "read.3")),
    turned.but("reader-small", kinds.SMALL_WEIGHTS.at("read*", "fc"), change=redrawn(normal(1e-4), "read", "fc")),
)
