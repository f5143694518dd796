"""Plain chains on handwritten digits, repaired in place or not, seen before their training and scored after it.

Digits are split 1,437 : 360; Adam takes a few dozen steps, with a warm-up of ten and then a linear decay to 0, on one
thread. Numbers below 1e-38 are flushed to zero: they move no weight, and slow the untouched networks down threefold.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import headwater as hw
from headwater.demo import CLASSES, Batch, accuracy, cross_entropy, digits

INPUTS, WARM_UP = 64, 10
PROBES = 20  # layers that are looked at before training, evenly over the depth, and the last
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


@dataclass(frozen=True)
class Attempt:
    """A network, what is done to it, and how it is trained.

    Attributes:
        activation: After each hidden layer.
        remedies: Applied in place; none for the network as PyTorch makes it.
        layers: Hidden ones.
        rates: Adam's learning rate at its highest; several are tried one after another.
        seeds: Of weights and data; each rate is tried with each.
        width: Units of a hidden layer.
        batch: Samples of a step.
        steps: Of the optimizer.
        probed: Whether gradient and likeness of inputs are measured before.
    """

    activation: str = "relu"
    remedies: tuple[str, ...] = ()
    layers: int = 1000
    rates: tuple[float, ...] = (2e-5,)
    seeds: tuple[int, ...] = (0,)
    width: int = 64
    batch: int = 64
    steps: int = 60
    probed: bool = True


@dataclass
class Trained:
    """What one training gave.

    Attributes:
        rate: Its learning rate.
        seed: Its seed.
        test: Share of held-out digits that are told right.
        training: Share of the training's own.
        losses: Step by step.
        cpu_s: Processor seconds, repair and training.
        wall_s: Seconds on the clock, which others on the machine make longer.
    """

    rate: float
    seed: int
    test: float
    training: float
    losses: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0


def seen(attempt: Attempt) -> list[dict[str, Any]]:
    """What can be measured before any training; nothing where that is not wanted."""
    torch.set_flush_denormal(True)
    return before(attempt, digits()[0]) if attempt.probed else []


def run(attempt: Attempt, rate: float, seed: int) -> dict[str, Any]:
    """One training; with the peak of memory of its process so far."""
    torch.set_flush_denormal(True)
    found = trained(attempt, rate, seed, *digits())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kibibytes
    return {**vars(found), "peak_gib": peak}


def network(attempt: Attempt, seed: int, data: Batch) -> nn.Module:
    """The chain, repaired."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    width = INPUTS
    for _ in range(attempt.layers):
        parts += [nn.Linear(width, attempt.width), ACTIVATIONS[attempt.activation]()]
        width = attempt.width
    model = nn.Sequential(*parts, nn.Linear(width, CLASSES))
    if not attempt.remedies:
        return model
    with warnings.catch_warnings():  # LSUV's own collapse check says what the table shows
        warnings.simplefilter("ignore")
        rows = slice(0, attempt.batch)
        first = (data[0][rows], data[1][rows])
        return hw.apply(model, list(attempt.remedies), seed=seed, batches=[first], loss=cross_entropy)


def before(attempt: Attempt, data: Batch) -> list[dict[str, Any]]:
    """Gradient, |cos| between inputs and effective rank over the depth, before any training."""
    model = network(attempt, attempt.seeds[0], data)
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][:-1]
    places = sorted({*range(0, len(layers), max(1, len(layers) // PROBES)), len(layers) - 1})
    batch = (data[0][: attempt.batch], data[1][: attempt.batch])
    flow = hw.check(model, batch, cross_entropy, sites=[layers[place] for place in places]).flow
    found = []
    for place, row in zip(places, (row for row in flow.sites if row.site.kind == "affine"), strict=True):
        gradient = None if row.activation_grad is None else row.activation_grad.rms
        found.append(
            {
                "layer": place + 1,
                "gradient_rms": gradient or 0.0,
                "abs_cosine": row.abs_cosine,
                "effective_rank": row.effective_rank,
            }
        )
    return found


def trained(attempt: Attempt, rate: float, seed: int, data: Batch, held_out: Batch) -> Trained:
    """One training at one rate."""
    started, clock = time.process_time(), time.perf_counter()
    model = network(attempt, seed, data)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    losses = []
    for step, batch in zip(range(attempt.steps), shuffled(data, attempt.batch, seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * share(step, attempt.steps)
        optimizer.zero_grad()
        loss = cross_entropy(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.process_time() - started, time.perf_counter() - clock
    with torch.no_grad():
        scores = accuracy(model, [held_out]), accuracy(model, [data])
    return Trained(rate, seed, *scores, losses, *seconds)


def share(step: int, steps: int) -> float:
    """Of the learning rate at a step: a warm-up, then a linear decay."""
    warm_up = min(WARM_UP, steps // 2)
    return (step + 1) / warm_up if step < warm_up else (steps - step) / (steps - warm_up)


def shuffled(data: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Full batches, epoch after epoch."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(data[0]), generator=generator).split(size):
            if len(rows) == size:
                yield data[0][rows], data[1][rows]
