"""How steps are taken: sharpness-aware, looking ahead, averaged, accumulated, orthogonal, by signs, in cycles.

Marks, set by task before any training: digits 0.8, tumours 0.88, spirals 0.8, Friedman's function R² 0.6.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Optimize,
    adam,
    binary_accuracy,
    binary_cross_entropy,
    constant,
    explained,
    forgetful,
    sgd,
    squared_error,
    trainable,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


def mlp(inputs: int = 64, outputs: int = 10, width: int = 64, depth: int = 2, act: Any = nn.ReLU) -> nn.Sequential:
    """Hidden layers and a head."""
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Averaged(nn.Module):
    """Answers by a running mean of its weights when nothing is learnt (Polyak and Juditsky 1992)."""

    def __init__(self, decay: float = 0.95, **options: Any) -> None:
        super().__init__()
        self.online = mlp(**options)
        self.shadow = copy.deepcopy(self.online).requires_grad_(False)
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.shadow(x)
        with torch.no_grad():
            for slow, fast in zip(self.shadow.parameters(), self.online.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.decay)
        return self.online(x)


class Sam(torch.optim.SGD):
    """Steps by the gradient at the worst place near by (Foret et al. 2021), which is kept from the step before."""

    def __init__(self, params: Iterable[Tensor], lr: float, rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, lr, **options)
        self.rho = rho
        self.moved: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Back, by the gradient found away, and away again."""
        for parameter, away in self.moved:
            parameter.sub_(away)
        super().step()
        known = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in known]).norm() + 1e-12
        self.moved = [(p, self.rho * p.grad / norm) for p in known]
        for parameter, away in self.moved:
            parameter.add_(away)


class Lookahead(torch.optim.Adam):
    """Slow weights that follow fast ones every few steps (Zhang et al. 2019)."""

    def __init__(self, params: Iterable[Tensor], lr: float, every: int = 5, share: float = 0.5) -> None:
        super().__init__(params, lr)
        self.every, self.share, self.count = every, share, 0
        self.slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One fast step, and now and then a slow one."""
        super().step()
        self.count += 1
        if self.count % self.every == 0:
            fast = [p for group in self.param_groups for p in group["params"]]
            for slow, parameter in zip(self.slow, fast, strict=True):
                slow.lerp_(parameter, self.share)
                parameter.copy_(slow)


class Orthogonal(torch.optim.Optimizer):
    """Momentum whose singular values are made alike before each step (Muon; Jordan et al. 2024)."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.mul_(group["momentum"]).add_(p.grad)
                if p.dim() < 2:
                    p.add_(mean, alpha=-group["lr"])
                    continue
                x = mean / (mean.norm() + 1e-7)
                for _ in range(5):  # Newton and Schulz, with the coefficients of the blog
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                p.add_(x, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def accumulated(make: Optimize, every: int) -> Optimize:
    """A step for every few batches, on the sum of their gradients."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        step, zero = optimizer.step, optimizer.zero_grad
        seen = {"batches": 0}

        def sometimes(closure: Any = None) -> None:
            seen["batches"] += 1
            if seen["batches"] % every == 0:
                step()

        def after_a_step(set_to_none: bool = True) -> None:
            if seen["batches"] % every == 0:
                zero(set_to_none)

        optimizer.step = sometimes  # type: ignore[method-assign]
        optimizer.zero_grad = after_a_step  # type: ignore[method-assign]
        return optimizer

    return made


def scheduled(make: Optimize, schedule: Callable[[torch.optim.Optimizer], Any]) -> Optimize:
    """A schedule of torch's, called after each batch."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        scheduler = schedule(optimizer)
        optimizer.register_step_post_hook(lambda *_: scheduler.step())
        return optimizer

    return made


def divided(model: Any, batch: Any) -> Tensor:
    """Of four batches whose gradients add up."""
    return F.cross_entropy(model(batch[0]), batch[1]) / 4


lr_scheduler = torch.optim.lr_scheduler
healthy = healthy_of("stepping", network=mlp, task=data.digits, optimizer=adam(3e-3), steps=150, batch_size=64)
TUMOURS: dict[str, Any] = {
    "task": data.cancer,
    "inputs": 30,
    "outputs": 1,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
NUMBERS: dict[str, Any] = {
    "task": data.friedman,
    "inputs": 10,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}


def sam(lr: float, **options: Any) -> Optimize:
    """Sharpness-aware descent."""
    return lambda parameters: Sam(trainable(parameters), lr, **options)


def ahead(lr: float) -> Optimize:
    """Adam that looks ahead."""
    return lambda parameters: Lookahead(trainable(parameters), lr)


def muon(lr: float) -> Optimize:
    """Orthogonal steps."""
    return lambda parameters: Orthogonal(trainable(parameters), lr)


def of(make: Any, **options: Any) -> Optimize:
    """An optimizer of torch's."""
    return lambda parameters: make(trainable(parameters), **options)


def steps_down(optimizer: torch.optim.Optimizer) -> Any:
    """A tenth of the rate from the eightieth batch on."""
    return lr_scheduler.MultiStepLR(optimizer, [80], 0.1)


def for_epochs(optimizer: torch.optim.Optimizer) -> Any:
    """Half of the rate after each "epoch", but it is called after each batch: nothing is left after ten of them."""
    return lr_scheduler.StepLR(optimizer, 1, 0.5)


def cycles(optimizer: torch.optim.Optimizer) -> Any:
    """Up and down three times (Smith 2017)."""
    return lr_scheduler.CyclicLR(optimizer, 0.01, 0.2, step_size_up=25)


def restarts(optimizer: torch.optim.Optimizer) -> Any:
    """Half cosines, begun anew (Loshchilov and Hutter 2017)."""
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 50)


NOTHING_LEFT = Fault(("lr_too_low", "not_updating", "underfitting"), ("learning_rate_low",))
sharp = healthy("sharpness-aware", 0.8, 0.1, optimizer=sam(0.1, momentum=0.9))
looking = healthy("looking-ahead", 0.8, 0.1, optimizer=ahead(3e-3), act=nn.ELU)
averaged = healthy("averaged", 0.88, 0.63, network=Averaged, optimizer=sgd(0.1, momentum=0.9), **TUMOURS)
summed = healthy(
    "accumulated", 0.8, 0.1, loss=divided, optimizer=accumulated(sgd(0.2, momentum=0.9), 4), batch_size=32, steps=240
)
orthogonal = healthy("orthogonal", 0.8, 0.1, optimizer=muon(0.02), width=48, depth=3)
factored = healthy("factored", 0.6, 0.0, optimizer=of(torch.optim.Adafactor, lr=0.02), steps=250, **NUMBERS)
rprop = healthy("by-signs", 0.88, 0.63, optimizer=of(torch.optim.Rprop, lr=1e-3), batch_size=999, steps=60, **TUMOURS)
quasi = healthy(
    "quasi-newton",
    0.6,
    0.0,
    optimizer=of(torch.optim.LBFGS, lr=0.5, max_iter=4),
    batch_size=960,
    steps=40,
    act=nn.Tanh,
    width=24,
    **NUMBERS,
)
dropped = healthy("steps-down", 0.8, 0.1, optimizer=scheduled(sgd(0.2, momentum=0.9), steps_down))
cycling = healthy("cycling", 0.8, 0.1, optimizer=scheduled(sgd(0.01, momentum=0.9), cycles), act=nn.GELU)
arms = healthy(
    "arms", 0.8, 0.5, task=data.spirals, inputs=2, outputs=2, optimizer=of(torch.optim.Adamax, lr=0.02), steps=250
)
restarted = healthy(
    "restarted", 0.6, 0.0, optimizer=scheduled(of(torch.optim.RAdam, lr=0.02), restarts), steps=200, **NUMBERS
)

PROGRAMS = (
    sharp,
    sharp.but("rate-high", kinds.RATE_HIGH, optimizer=sam(20.0, momentum=0.9)),
    looking,
    looking.but("rate-low", kinds.RATE_LOW, optimizer=ahead(1e-6)),
    looking.but("all-alike", kinds.SYMMETRIC.at("*"), draw=constant(0.1)),
    averaged,
    averaged.but("unscaled", kinds.UNSCALED, task=data.cancer_raw),
    summed,
    summed.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(accumulated(sgd(0.2, momentum=0.9), 4))),
    orthogonal,
    orthogonal.but("rate-high", kinds.RATE_HIGH, optimizer=muon(3.0)),
    factored,
    rprop,
    quasi,
    dropped,
    dropped.but("for-epochs", NOTHING_LEFT, optimizer=scheduled(sgd(0.2, momentum=0.9), for_epochs)),
    cycling,
    arms,
    arms.but("linear", kinds.LINEAR.at("*"), act=nn.Identity),
    restarted,
    restarted.but(
        "decay", kinds.WEIGHT_DECAY, optimizer=scheduled(of(torch.optim.RAdam, lr=0.02, weight_decay=3.0), restarts)
    ),
)
