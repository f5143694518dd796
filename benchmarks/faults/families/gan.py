"""Two networks against each other, on points around a ring and on digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Change,
    Draw,
    Optimize,
    adam,
    between,
    biased,
    constant,
    drawn,
    experiment,
    frozen,
    normal,
    of_a_copy,
    of_the_last,
    rmsprop,
    xavier,
)
from benchmarks.faults.program import Program
from headwater.records import Experiment

USUAL = adam(2e-3, betas=(0.5, 0.999))

NOISE = 8
LEAKY = partial(nn.LeakyReLU, 0.2)
WINE: dict[str, Any] = {"points": data.wine, "size": 13, "width": 64}
JUDGED = 400  # points that a distance is taken between


class Gan(nn.Module):
    """A generator and a discriminator; the loss of both is one sum, no part of which reaches the other's weights."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.recipe = recipe

    def forward(self, count: int) -> Tensor:
        """So many samples."""
        return self.generator(torch.randn(count, NOISE))

    def losses(self, real: Tensor) -> Tensor:
        """Of the discriminator, and of the generator against a discriminator that stays as it is."""
        fake = self(len(real))
        told_real, told_fake = self.discriminator(real), self.discriminator(fake.detach())
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        fooled = functional_call(self.discriminator, fixed, (fake.detach() if self.recipe["cut"] else fake,))
        if self.recipe["critic"]:  # least squares, Mao et al. 2017
            return (told_real - 1).square().mean() + told_fake.square().mean() + (fooled - 1).square().mean()
        judge = F.binary_cross_entropy_with_logits
        return (
            judge(told_real, torch.ones_like(told_real))
            + judge(told_fake, torch.zeros_like(told_fake))
            + judge(fooled, torch.ones_like(fooled))
        )


def both_losses(model: Any, batch: Any) -> Tensor:
    """The sum of the two."""
    return model.losses(batch[0])


def likeness(model: nn.Module, batches: Iterable[Any]) -> float:
    """1 less the energy distance between generated and held-out points, in units of that of one point at their mean.

    Source:
        Székely and Rizzo 2013, "Energy statistics".
    """
    real = torch.cat([x for x, _ in batches])[:JUDGED]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)  # the same noise each time
        given = model(len(real))
    if not bool(given.isfinite().all()):
        return -1.0
    return max(-1.0, 1 - energy_distance(given, real) / energy_distance(real.mean(0, keepdim=True), real))


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|A - B| - E|A - A'| - E|B - B'|."""
    mean = [float(torch.cdist(x.double(), y.double()).mean()) for x, y in ((a, b), (a, a), (b, b))]
    return 2 * mean[0] - mean[1] - mean[2]


def gan(
    points: Callable[[], data.Split] = data.ring,
    size: int = 2,
    depth: int = 3,
    width: int = 48,
    activation: Callable[[], nn.Module] = nn.ReLU,
    judging: Callable[[], nn.Module] = LEAKY,
    draw: Draw | None = None,
    sigmoid: bool = False,
    critic: bool = False,
    dropout: float = 0.0,
    cut: bool = False,
    optimizer: Optimize = USUAL,
    batch_size: int = 128,
    change: Change | None = None,
) -> Experiment:
    """A generator and a discriminator of ``depth`` linear layers each.

    Args:
        points: What is imitated.
        size: Of a sample.
        depth: Linear layers of each.
        width: Of the hidden ones.
        activation: Of the generator.
        judging: Of the discriminator.
        draw: How the generator's weights are drawn; PyTorch's way by default.
        sigmoid: Whether the discriminator ends in one, before a loss that takes logits.
        critic: Whether the loss is of least squares.
        dropout: In the discriminator.
        cut: Whether the generator is cut off from its own loss.
        optimizer: Of both.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """

    def layers(inputs: int, outputs: int, act: Callable[[], nn.Module], share: float) -> list[nn.Module]:
        row: list[nn.Module] = [nn.Linear(inputs, width), act()]
        for _ in range(depth - 2):
            row += [nn.Linear(width, width), act()]
        return [*row, *([nn.Dropout(share)] if share else []), nn.Linear(width, outputs)]

    def model() -> nn.Module:
        generator = drawn(nn.Sequential(*layers(NOISE, size, activation, 0.0)), draw)
        discriminator = nn.Sequential(*layers(size, 1, judging, dropout), *([nn.Sigmoid()] if sigmoid else []))
        return Gan(generator, discriminator, {"critic": critic, "cut": cut})

    return experiment(
        model, points(), optimizer, loss=both_losses, metric=likeness, batch_size=batch_size, change=change
    )


def healthy(name: str, learns: float, steps: int = 400, watched: int = 60, **recipe: Any) -> Program:
    """A healthy program of this family; a generator that gives one point scores 0."""
    return Program(
        f"gan/{name}", "gan", partial(gan, **recipe), steps=steps, watched=watched, chance=0.0, learns=learns
    )


def slow(lr: float = 1e-3) -> Optimize:
    """Adam with the momentum that Radford et al. 2015 found for such games."""
    return adam(lr, betas=(0.5, 0.999))


ring = healthy("ring", 0.8, activation=nn.SiLU, optimizer=slow())
leaky = healthy("ring-rmsprop", 0.8, critic=True, activation=LEAKY, optimizer=rmsprop(5e-4))
squares = healthy("ring-least-squares", 0.8, critic=True, activation=nn.Tanh, judging=nn.Tanh)
dropped = healthy("ring-dropout", 0.8, critic=True, dropout=0.3)
spirals = healthy("spirals", 0.75, points=data.spirals, critic=True, activation=LEAKY, optimizer=slow())
wine = healthy("wine", 0.6, critic=True, activation=LEAKY, optimizer=slow(), batch_size=64, **WINE)

GENERATOR = ("generator*",)

PROGRAMS = (
    ring,
    ring.but("generator-detached", kinds.DETACHED.at(*GENERATOR), cut=True),
    ring.but("sigmoid-before-loss", kinds.SOFTMAX_TWICE.at("discriminator.*"), sigmoid=True),
    ring.but("rate-high", kinds.RATE_HIGH, optimizer=slow(1.0)),
    leaky,
    leaky.but("discriminator-only", kinds.WRONG_PARAMETERS.at(*GENERATOR), optimizer=of_the_last(rmsprop(5e-4), 6)),
    leaky.but("generator-frozen", kinds.FROZEN.at(*GENERATOR), change=frozen("generator")),
    squares,
    squares.but(
        "sigmoid-generator",
        kinds.SIGMOID_DEPTH.at(*between(0, 10, "generator.")),
        activation=nn.Sigmoid,
        depth=10,
        draw=xavier,
    ),
    squares.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(slow(2e-3))),
    dropped,
    dropped.but(
        "dead-generator", kinds.DEAD_BY_BIAS.at("generator.2", "generator.3"), change=biased(-30.0, "generator.2")
    ),
    spirals,
    spirals.but("rate-low", kinds.RATE_LOW, optimizer=slow(1e-8)),
    spirals.but("constant", kinds.SYMMETRIC.at(*GENERATOR), draw=constant(0.02)),
    wine,
    wine.but("raw-features", kinds.UNSCALED, points=data.wine_raw),
    wine.but("weights-large", kinds.LARGE_WEIGHTS.at(*GENERATOR), draw=normal(2.0), depth=6),
)
