"""Networks that begin with what another one knows: students of a teacher, and backbones that were trained before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Loss,
    Optimize,
    adam,
    adamw,
    biased,
    minibatches,
    nadam,
    normal,
    of_a_copy,
    of_the_last,
    redrawn,
    sgd,
    warmed,
)
from benchmarks.faults.recipe import healthy_of
from headwater.demo import cross_entropy

PRETRAINING_STEPS = 150


@torch.enable_grad()  # whoever asks first may be measuring
def trained_before(make: Callable[[], nn.Module], batches: Callable[[], Any], loss: Loss = cross_entropy) -> nn.Module:
    """A network after its first training, from one seed; torch's random state is as it was."""
    states = torch.get_rng_state()
    torch.manual_seed(0)
    network, step = make(), 0
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    while step < PRETRAINING_STEPS:
        for batch in batches():
            optimizer.zero_grad()
            loss(network, batch).backward()
            optimizer.step()
            step += 1
    torch.set_rng_state(states)
    return network.eval()


class Backbone(nn.Module):
    """Three convolutions with batch normalisation and a mean over the places."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to (batch, 2 · width)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x)), inplace=True), 2)
        return F.relu(self.bn3(self.conv3(x)), inplace=True).mean((2, 3))


class Classifier(nn.Module):
    """A backbone and a head, which may have a hidden layer."""

    def __init__(
        self,
        backbone: Callable[[], nn.Module] = Backbone,
        hidden: int = 0,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone()
        layers: list[nn.Module] = [nn.Linear(48, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.head = nn.Sequential(*layers, nn.Linear(hidden or 48, 10))
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        h = self.backbone(x)
        return self.head(h.detach() if self.cut else h)


def _low_images() -> Iterable[Any]:
    x, y = data.images().train
    low = y < 5
    return minibatches((x[low], y[low]), 64)


@cache
def _backbone() -> nn.Module:
    return trained_before(Classifier, _low_images).backbone


def known() -> nn.Module:
    """A backbone that has told the digits 0 to 4."""
    return copy.deepcopy(_backbone())


def known_and_still() -> nn.Module:
    """The same, frozen."""
    return known().requires_grad_(False)


def forgotten() -> nn.Module:
    """One that was to be loaded, and was frozen without."""
    return Backbone().requires_grad_(False)


def slower_below(make: Callable[..., torch.optim.Optimizer], slower: float, **options: Any) -> Optimize:
    """Two groups: the backbone at a fraction of the head's rate (Howard and Ruder 2018)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known_ = list(parameters)
        groups = [{"params": known_[:-2], "lr": slower * options["lr"]}, {"params": known_[-2:]}]
        return make(groups, **options)

    return made


class Student(nn.Module):
    """A small network, or a teacher."""

    def __init__(
        self,
        width: int = 24,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.top = nn.Linear(width, 10)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.act(norm(layer(x)))
        return self.top(x.detach() if self.cut else x)


@cache
def teacher() -> nn.Module:
    """A wide network that tells the digits."""
    return trained_before(lambda: Student(width=128), lambda: minibatches(data.digits().train, 64))


def softly(temperature: float = 3.0, share: float = 0.7, bare: bool = False) -> Loss:
    """The teacher's softened answers, and the right ones (Hinton et al. 2015).

    Args:
        temperature: That both sets of logits are divided by.
        share: Of the teacher in the loss.
        bare: Take the logarithm of both softmaxes, as the definition of the divergence has it.
    """

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.no_grad():
            told = teacher()(batch[0]) / temperature
        logits = model(batch[0])
        if bare:
            p, q = told.softmax(1), (logits / temperature).softmax(1)
            soft = (p * (p / q).log()).sum(1).mean()
        else:
            soft = F.kl_div(
                (logits / temperature).log_softmax(1), told.log_softmax(1), reduction="batchmean", log_target=True
            )
        return share * temperature**2 * soft + (1 - share) * F.cross_entropy(logits, batch[1])

    return loss


healthy = healthy_of("distilled", network=Classifier, task=data.images, optimizer=adam(3e-3), steps=80)
STUDENT: dict[str, Any] = {"network": Student, "task": data.digits, "loss": softly(), "steps": 150}

tuned = healthy("tuned", 0.85, chance=0.1, backbone=known)
slower = healthy(
    "tuned-backbone-slower",
    0.8,
    chance=0.1,
    backbone=known,
    optimizer=slower_below(torch.optim.AdamW, slower=0.1, lr=1e-2),
)
still = healthy("still-backbone", 0.7, chance=0.1, backbone=known_and_still, optimizer=adam(1e-2), steps=150)
still_deep = healthy(
    "still-backbone-hidden",
    0.75,
    chance=0.1,
    backbone=known_and_still,
    hidden=32,
    dropout=0.1,
    optimizer=sgd(0.1, momentum=0.9),
    steps=150,
)
student = healthy("student", 0.85, chance=0.1, optimizer=adam(5e-3), **STUDENT)
student_hot = healthy(
    "student-gelu-hot",
    0.85,
    chance=0.1,
    act=F.gelu,
    depth=3,
    norm=True,
    optimizer=warmed(adamw(5e-3), 20),
    **(STUDENT | {"loss": softly(8.0, 0.9)}),
)
student_tiny = healthy("student-tanh-12", 0.75, chance=0.1, act=torch.tanh, width=12, optimizer=nadam(1e-2), **STUDENT)

LAYERS = ("layers*", "norms*")

PROGRAMS = (
    tuned,
    tuned.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    slower,
    slower.but("never-loaded", kinds.FROZEN.at("backbone*"), backbone=forgotten),
    still,
    still.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(1e-2))),
    still.but("twenty-images", kinds.OVERFITTING, task=lambda: data.images().first(20), watched=150),
    still_deep,
    still_deep.but("hidden-dead", kinds.DEAD_BY_BIAS.at("head*"), change=biased(-30.0, "head.0")),
    still_deep.but("last-only", kinds.WRONG_PARAMETERS.at("head.0"), optimizer=of_the_last(sgd(0.1, momentum=0.9), 2)),
    student,
    student.but("layers-detached", kinds.DETACHED.at(*LAYERS), cut=True),
    student.but("divergence-bare", kinds.NAN, loss=softly(temperature=0.01, bare=True)),
    student_hot,
    student_hot.but("sigmoid-10", kinds.SIGMOID_DEPTH.at("layers*"), act=torch.sigmoid, depth=10, norm=False),
    student_tiny,
    student_tiny.but("one-unit", kinds.UNDERFITTING, width=1, watched=150),
    student_tiny.but("unit-normal", kinds.SATURATED.at("layers*"), change=redrawn(normal(10.0), "layers")),
)
