"""The chain rule on scalar chains: ∂pₙ/∂w₁ = Π ∂aᵢ/∂pᵢ₋₁ · Π wᵢ · x, held against autograd for every activation.

p₁ = w₁x, aᵢ = φ(pᵢ₋₁), pᵢ = wᵢaᵢ, as ``headwater trace`` writes it. The product is kept as a sign and a sum of
logarithms, so that it is still known where the number itself is too small for float64, about 1e-308 and with fewer and
fewer digits 5e-324.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import made
from headwater.records.picture import Axis, Panel, Picture, Table
from headwater.theory import ACTIVATIONS

DEPTHS = tuple(range(2, 61))
SEEDS = tuple(range(10))  # the first half with weights > 0, so that rectifiers pass on what they get
WEIGHTS = (0.5, 1.5)  # magnitudes between
EXACT = 1e-12
TINY_WEIGHT = 1e-5
IN_THE_LECTURE = ("sigmoid", "tanh", "relu")
SHOWN_SEED = 0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Chain:
    """Chains of one activation and one depth, one per seed.

    Attributes:
        factors: (factors, seeds) of ∂pₙ/∂w₁ from the end backward: wₙ, φ′(pₙ₋₁), …, w₂, φ′(p₁), x.
        gradient: (seeds,) ∂pₙ/∂w₁ as autograd finds it.
    """

    factors: Array
    gradient: Array

    @property
    def contributions(self) -> Array:
        """log₁₀ of each factor's magnitude; -inf for 0."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log10(np.abs(self.factors))
        return logs

    @property
    def log10_product(self) -> Array:
        """log₁₀ of the product's magnitude."""
        return np.array(
            [math.fsum(column) if np.isfinite(column).all() else -math.inf for column in self.contributions.T]
        )

    @property
    def sign(self) -> Array:
        """Of the product."""
        signs: Array = np.sign(self.factors).prod(0)
        return signs

    @property
    def errors(self) -> Array:
        """|product / autograd - 1| of each chain; 0 where both are exactly 0, infinite where one is or signs differ."""
        logs, gradient = self.log10_product, self.gradient
        both_zero = np.isneginf(logs) & (gradient == 0)
        alike = (self.sign == np.sign(gradient)) & (gradient != 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.abs(np.expm1((logs - np.log10(np.abs(gradient))) * math.log(10.0)))
        return np.where(both_zero, 0.0, np.where(alike, apart, math.inf))


def experiment() -> Outcome:
    """All depths and activations, and one chain too small for float64."""
    t = Texts("chain-rule")
    x, weights = _drawn()
    found = {name: [chain(name, weights[:depth], x) for depth in DEPTHS] for name in ACTIVATIONS}
    worst = {name: max(float(one.errors.max()) for one in chains) for name, chains in found.items()}
    totals = [_total_error(one) for chains in found.values() for one in chains]
    ends = {name: chains[-1] for name, chains in found.items()}
    small = chain("sigmoid", torch.full((DEPTHS[-1], 1), TINY_WEIGHT, dtype=torch.float64), x[:1])
    halves = _in_halves("sigmoid", DEPTHS[-1])
    beyond = float(small.log10_product[0])
    checks = (
        t.within("product", max(worst.values()), high=EXACT),
        t.within("contributions", max(totals), high=EXACT),
        t.within("underflow", float(small.gradient[0]), 0.0, 0.0),
        t.within("halves", abs(beyond / halves - 1), high=EXACT),
    )
    values = {
        "activations": len(ACTIVATIONS),
        "chains": len(ACTIVATIONS) * len(DEPTHS) * len(SEEDS),
        "depth": DEPTHS[-1],
        "worst": max(worst.values()),
        "sigmoid": float(ends["sigmoid"].gradient[SHOWN_SEED]),
        "tanh": float(ends["tanh"].gradient[SHOWN_SEED]),
        "relu": float(ends["relu"].gradient[SHOWN_SEED]),
        "beyond": beyond,
    }
    columns = (t("column.activation"), t("column.worst"), t("column.zero"))
    rows = tuple(
        (name, worst[name], float(np.mean([(one.gradient == 0).mean() for one in chains])))
        for name, chains in found.items()
    )
    panels = (_backward(t, ends), _over_depth(t, found))
    return Outcome(
        checks, values, (Picture(t("summary", **values), panels),), (Table(t("table"), columns, rows),), SEEDS
    )


def chain(name: str, weights: Tensor, x: Tensor) -> Chain:
    """Run chains forward and autograd back, and collect the factors of ∂pₙ/∂w₁.

    Args:
        name: Id of the activation.
        weights: (n, seeds) w₁ … wₙ.
        x: (seeds,) inputs.
    """
    activation = made(name).double()
    weights = weights.clone().requires_grad_()
    sums = [weights[0] * x]
    for weight in weights[1:]:
        sums.append(weight * activation(sums[-1]))
    (gradient,) = torch.autograd.grad(sums[-1].sum(), weights)
    slopes = ACTIVATIONS[name].derivative(torch.stack(sums[:-1]).detach().numpy())
    later = weights[1:].detach().numpy()
    pairs = np.stack([later, slopes], 1)[::-1].reshape(-1, len(x))
    return Chain(np.vstack([pairs, x.numpy()]), gradient[0].numpy())


def _drawn() -> tuple[Tensor, Tensor]:
    """Input and weights w₁ … w₆₀ of each seed."""
    inputs, weights = [], []
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        low, high = WEIGHTS
        numbers = low + (high - low) * torch.rand(DEPTHS[-1] + 1, generator=generator, dtype=torch.float64)
        signs = torch.randint(2, (DEPTHS[-1] + 1,), generator=generator) * 2 - 1
        numbers = numbers if seed < len(SEEDS) // 2 else numbers * signs
        inputs.append(numbers[0])
        weights.append(numbers[1:])
    return torch.stack(inputs), torch.stack(weights, 1)


def _total_error(one: Chain) -> float:
    """How far the contributions' sum is from log₁₀ of autograd's gradient, relative to the sizes summed."""
    alive = one.gradient != 0
    if not alive.any():
        return 0.0
    contributions = one.contributions[:, alive]
    apart = np.abs(contributions.sum(0) - np.log10(np.abs(one.gradient[alive])))
    return float((apart / np.abs(contributions).sum(0)).max())


def _in_halves(name: str, depth: int) -> float:
    """log₁₀ |∂pₙ/∂w₁| with tiny weights from autograd alone: to the middle and from there, numbers float64 can hold."""
    activation = made(name).double()
    first = torch.tensor(TINY_WEIGHT, dtype=torch.float64, requires_grad=True)
    x = _drawn()[0][0]
    middle = first * x
    for _ in range(depth // 2 - 1):
        middle = TINY_WEIGHT * activation(middle)
    (to_middle,) = torch.autograd.grad(middle, first)
    start = middle.detach().requires_grad_()
    end = start
    for _ in range(depth - depth // 2):
        end = TINY_WEIGHT * activation(end)
    (from_middle,) = torch.autograd.grad(end, start)
    return log10(abs(float(to_middle))) + log10(abs(float(from_middle)))


def _backward(t: Texts, ends: dict[str, Chain]) -> Panel:
    """∂pₙ/∂pᵢ as the deepest chain is walked back."""
    depth = DEPTHS[-1]
    curves = []
    for name in IN_THE_LECTURE:
        so_far = np.cumsum(ends[name].contributions[:, SHOWN_SEED])
        curves.append(t.curve(name, range(depth, 0, -1), [0.0, *so_far[1:-1:2]]))
    return Panel(t("panel.backward", depth=depth), t.axis("layer"), Axis(t("axis.product"), "log10"), tuple(curves))


def _over_depth(t: Texts, found: dict[str, list[Chain]]) -> Panel:
    """∂pₙ/∂w₁ of chains of each depth: the product as a line, autograd as points."""
    curves = []
    for name in IN_THE_LECTURE:
        products = [float(one.log10_product[SHOWN_SEED]) for one in found[name]]
        gradients = [log10(abs(float(one.gradient[SHOWN_SEED]))) for one in found[name]]
        curves.append(t.curve(name, DEPTHS, products))
        curves.append(t.curve(f"autograd_{name}", DEPTHS[::3], gradients[::3], points=True))
    return Panel(t("panel.depth"), t.axis("depth"), Axis(t("axis.gradient"), "log10"), tuple(curves))


LESSON = Lesson("chain-rule", experiment, seconds=1.0)
