"""Plain networks that are really drawn, and what passes through them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Layer = Callable[[Tensor], Tensor]


@dataclass
class Passage:
    """What went through a network: per layer, the pre-activations, the weights and their gradients."""

    pre_activations: list[Tensor]
    weights: list[Tensor]

    def lengths(self) -> list[float]:
        """q of every layer."""
        return [z.detach().square().mean().item() for z in self.pre_activations]

    def gradients(self) -> list[float]:
        """Norm of ∂L/∂z of every layer."""
        return [_gradient(z).norm().item() for z in self.pre_activations]

    def log_factor(self, skip: int = 0) -> float:
        """Mean ln of the factor on the gradient's norm per layer, ``skip`` layers left out at each end."""
        norms = self.gradients()[skip : len(self.pre_activations) - skip]
        return math.log(norms[0] / norms[-1]) / (len(norms) - 1)


def passage(
    phi: Layer,
    sigma_w2: float,
    depth: int,
    width: int,
    seed: int,
    *,
    batch: int = 8,
    normalise: Layer = lambda z: z,
    x: Tensor | None = None,
) -> Passage:
    """Draw layers z = Wφ(normalise(z)) in float64, send inputs forward and a random gradient back."""
    torch.manual_seed(seed)
    h = torch.randn(batch, width, dtype=torch.float64) if x is None else x
    pre_activations, weights = [], []
    for _ in range(depth):
        weight = torch.randn(width, width, dtype=torch.float64) * math.sqrt(sigma_w2 / width)
        z = h @ weight.requires_grad_().T
        z.retain_grad()
        pre_activations.append(z)
        weights.append(weight)
        h = phi(normalise(z))
    (h * torch.randn_like(h)).sum().backward()
    return Passage(pre_activations, weights)


def _gradient(z: Tensor) -> Tensor:
    assert z.grad is not None
    return z.grad
