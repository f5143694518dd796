"""Few bits and delicate operations: autocast, bfloat16 and float16 weights, logarithms, roots and divisions by hand.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them. Dropped: the root of a rectified 0, which does no harm,
as PyTorch sends nothing back through a unit at 0; and the logarithm of one, whose harm cannot be told in a number.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import adam, adamw, binary_accuracy, explained, normal, rmsprop, sgd, squared_error
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of
from headwater.demo import cross_entropy


class Half(nn.Module):
    """Layers in a dtype of their own; what comes in is cast, what goes out is float32."""

    def __init__(
        self,
        sizes: tuple[int, ...] = (64, 96, 96, 10),
        dtype: torch.dtype = torch.float32,
        act: Callable[[Tensor], Tensor] = F.relu,
        by_hand: str | None = None,
        eps: float = 1e-5,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(a, b, dtype=dtype) for a, b in pairwise(sizes[:-1]))
        self.last = nn.Linear(sizes[-2], sizes[-1], dtype=dtype)
        self.dtype, self.act, self.by_hand, self.eps, self.scale = dtype, act, by_hand, eps, scale

    def forward(self, x: Tensor) -> Tensor:
        x = (self.scale * x).to(self.dtype)
        for layer in self.hidden:
            x = self.act(layer(x))
            if self.by_hand == "unit":  # each sample to length one
                x = x / (x.square().sum(1, keepdim=True) + self.eps).sqrt()
            elif self.by_hand == "spread":  # each sample less its mean over its spread
                x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + self.eps)
        return self.last(x).float()


class Powers(nn.Module):
    """Powers and logarithms of what is measured, and a linear map."""

    def __init__(self, inputs: int = 6, hidden: int = 32, floor: float = 1e-3, root: bool = False) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(inputs, hidden), nn.Linear(hidden, 1)
        self.floor, self.root = floor, root

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.inner(x))
        return self.outer((h + self.floor).sqrt() if self.root else (h + self.floor).log())


class Focal(nn.Module):
    """Two probabilities out of one logit, for a loss by hand."""

    def __init__(self, width: int = 24, factor: float = 1.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(30, width), nn.Linear(width, 1)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.fc2(torch.tanh(self.fc1(x)))


def autocast(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy with products in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        y = model(batch[0])
    return F.cross_entropy(y.float(), batch[1])


def times(factor: float) -> Callable[[nn.Module, Any], Tensor]:
    """The loss times a constant."""
    return lambda model, batch: factor * cross_entropy(model, batch)


def focal(epsilon: float) -> Callable[[nn.Module, Any], Tensor]:
    """Less weight for what is known well (Lin et al. 2017), with logarithms by hand."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        p = torch.sigmoid(model(batch[0]))
        q = torch.where(batch[1] > 0.5, p, 1 - p)
        return -((1 - q) ** 2 * torch.log(q + epsilon)).mean()

    return loss


def softmax_by_hand(shift: bool) -> Callable[[nn.Module, Any], Tensor]:
    """Cross-entropy with exponentials of its own, less the largest logit or not."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        z = model(batch[0])
        z = z - z.max(1, keepdim=True).values if shift else z
        e = torch.exp(z)
        return -torch.log(e.gather(1, batch[1][:, None]) / e.sum(1, keepdim=True) + (1e-12 if shift else 0.0)).mean()

    return loss


# Steps that are less than a weight's last bit are no steps; in more bits they would be too small all the same.
STALLED = Fault(("lr_too_low", "not_updating", "underflow"), ("learning_rate_low", "numeric_underflow"))
TOO_LARGE = Fault((*kinds.OVERFLOW.symptoms, "unscaled_input"), kinds.OVERFLOW.causes)
# Large weights, and exponentials that do not bear the logits they give.
EXPONENTIALS = Fault(
    ("nonfinite", "overflow", "bad_init_large", "exploding"),
    ("numeric_overflow", "loss_mismatch", "weights_too_large", "init_mismatch"),
)

healthy = healthy_of("halves", network=Half, task=data.digits, optimizer=adam(2e-3), steps=150, batch_size=64)
TUMOURS: dict[str, Any] = {"network": Focal, "task": data.cancer, "metric": binary_accuracy, "batch_size": 32}
HOUSES: dict[str, Any] = {"network": Powers, "task": tasks.houses, "loss": squared_error, "metric": explained}

mixed = healthy("digits-autocast", 0.8, 0.1, loss=autocast)
mixed_deep = healthy("digits-autocast-gelu-4", 0.8, 0.1, sizes=(64, 64, 64, 64, 64, 10), act=F.gelu, loss=autocast)
brain = healthy("digits-bfloat16-sgd", 0.8, 0.1, dtype=torch.bfloat16, optimizer=sgd(0.1, momentum=0.9))
half = healthy("digits-float16-sgd", 0.8, 0.1, dtype=torch.float16, optimizer=sgd(0.1, momentum=0.9), act=torch.tanh)
half_rms = healthy("digits-float16-rmsprop", 0.8, 0.1, dtype=torch.float16, optimizer=rmsprop(1e-3, eps=1e-4))
double = healthy("digits-float64", 0.8, 0.1, dtype=torch.float64, act=F.silu, optimizer=adamw(3e-3))
unit = healthy("digits-unit-length", 0.8, 0.1, by_hand="unit", optimizer=adam(0.01))
spread = healthy("ink-own-layer-norm", 0.8, 0.1, task=tasks.ink, by_hand="spread", optimizer=adam(3e-3))
hand = healthy("digits-softmax-by-hand", 0.8, 0.1, loss=softmax_by_hand(True), optimizer=sgd(0.2))
focused = healthy("tumours-focal", 0.88, 0.65, loss=focal(1e-6), optimizer=adam(5e-3), **TUMOURS)
logs = healthy("houses-logarithms", 0.6, 0.0, floor=1.0, optimizer=adam(0.01), steps=250, **HOUSES)
roots = healthy("houses-roots", 0.6, 0.0, root=True, floor=0.1, optimizer=adam(0.01), steps=250, **HOUSES)

PROGRAMS = (
    mixed,
    mixed_deep,
    brain,
    brain.but("rate-below-a-bit", STALLED, optimizer=sgd(2e-6)),
    half,
    half.but("adam", kinds.ADAM_IN_HALF, optimizer=adam(2e-3)),
    half.but("loss-scaled", kinds.OVERFLOW, loss=times(2.0**23), optimizer=sgd(0.1 / 2.0**23)),
    half.but("loss-tiny", kinds.UNDERFLOW, loss=times(2e-6), optimizer=sgd(5e4)),
    half.but("inputs-overflow", TOO_LARGE, scale=1e5, act=F.relu),
    half_rms,
    double,
    unit,
    unit.but("length-zero", kinds.NAN, eps=0.0, act=lambda x: F.relu(x - 0.8)),
    spread,
    hand,
    hand.but("not-shifted", EXPONENTIALS, loss=softmax_by_hand(False), draw=normal(0.8)),
    focused,
    focused.but("logarithm-of-zero", kinds.NAN, loss=focal(0.0), factor=60.0),
    logs,
    roots,
)
