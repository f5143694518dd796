"""A chain of single units: every factor of ∂p_n/∂w_1 = Π ∂a_i/∂p_{i-1} · Π w_i · x with its number.

p_1 = w_1 x + b_1, a_2 = φ(p_1), p_2 = w_2 a_2 + b_2, ..., as in the lectures.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from headwater.records import Comparison, Factor, InputError, Message, Signed
from headwater.records.trace import FactorKind
from headwater.theory import ACTIVATIONS, weight_variance
from headwater.tracing.backward import vjp
from headwater.tracing.capture import Operation
from headwater.tracing.checks import SUMS, held
from headwater.tracing.formulas import Affine, Step, uses_of
from headwater.tracing.passes import Pass
from headwater.tracing.scaled import Scaled

# Name in the table of initialisations, and gain; normal is the lectures' naive start, N(0, 0.01²).
INITIALISATIONS = {"xavier": ("xavier", None), "he": ("he", None), "normal": ("unit_normal", 0.01)}
_ROUNDING = 16 * 2.0**-52  # of numbers around 1 that are subtracted, as in 1 - σ(p), times p for those of GELU's kind


def scalar_chain(layers: int, activation: str = "sigmoid", init: str = "xavier", seed: int = 0) -> nn.Sequential:
    """The lectures' chain: ``layers`` weights, one unit each, with an activation between them.

    Args:
        layers: Number of weights, at least 1.
        activation: Its id in the table of activations.
        init: ``xavier`` draws N(0, 1), ``he`` N(0, 2), as fan_in and fan_out are 1; ``normal`` draws N(0, 0.01²).
        seed: Of the draws; the caller's random states stay as they are.

    Raises:
        InputError: If there is no such activation or initialisation.

    Example:
        >>> scalar_chain(2, "tanh")
        Sequential(
          (0): Linear(in_features=1, out_features=1, bias=True)
          (1): Tanh()
          (2): Linear(in_features=1, out_features=1, bias=True)
        )
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"there is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
    if init not in INITIALISATIONS:
        raise InputError(f"there is no initialisation {init!r}; choose one of {', '.join(INITIALISATIONS)}.")
    if layers < 1:
        raise InputError(f"a chain has at least one layer, got {layers}: --chain 20")
    table = ACTIVATIONS[activation]
    name, gain = INITIALISATIONS[init]
    deviation = math.sqrt(weight_variance(name, 1, 1, gain))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # modules draw weights of their own when they are made
        modules: list[nn.Module] = []
        for index in range(layers):
            linear = nn.Linear(1, 1)
            with torch.no_grad():
                linear.weight.copy_(torch.randn(1, 1, generator=generator) * deviation)
                nn.init.zeros_(linear.bias)
            modules.append(linear)
            if index < layers - 1:
                modules.append(getattr(nn, table.modules[0])(**table.arguments))
    return nn.Sequential(*modules)


def chain_factors(done: Pass, steps: list[Step], parameter: str) -> list[Factor]:
    """The factors of a parameter's gradient, in the order of the formula.

    Args:
        done: The pass.
        steps: Of the model, one unit each.
        parameter: Name of a weight or bias that one of its affine maps has, and no other.
    """
    (place,) = uses_of(steps, parameter)
    own = index = sum(isinstance(step, Affine) for step in steps[: place + 1])
    local = _local_derivatives(done)
    slopes, weights = [], []
    explained = steps[place]
    assert isinstance(explained, Affine)
    for step in steps[place + 1 :]:
        autograd = local.get(id(step.operation))
        if isinstance(step, Affine):
            index += 1
            weights.append(factor("weight", index, step.operation, float(step.weight[0, 0]), None, autograd))
        else:
            slope, at = float(step.slope[0]), float(step.before[0])
            slopes.append(factor("activation", index + 1, step.operation, slope, at, autograd))
    factors = slopes + weights
    if parameter == explained.weight_name:
        factors.append(factor("input", own, explained.operation, float(explained.before[0]), None, None))
    return loss_factors(done) + factors


def loss_factors(done: Pass) -> list[Factor]:
    """∂L/∂output, where a loss follows the output."""
    segments = done.loss_segments
    if not segments:
        return []
    here = torch.ones((), dtype=done.loss.dtype, device=done.loss.device)
    found = vjp(done.graph.root, segments[0].start, here)
    name = segments[-1].operation
    return [factor("loss", 0, name, float(found.reshape(())), None, None)]


def factor(
    kind: FactorKind, index: int, operation: Operation, value: float, at: float | None, autograd: float | None
) -> Factor:
    log10 = math.log10(abs(value)) if value else -math.inf
    return Factor(kind, index, operation.name, operation.op, value, log10, at, autograd)


def _local_derivatives(done: Pass) -> dict[int, float]:
    """Each single operation's derivative as autograd computes it."""
    derivatives = {}
    for segment in done.model_segments:
        one = torch.ones(segment.operation.shape, dtype=done.loss.dtype, device=done.loss.device)
        derivatives[id(segment.operation)] = float(vjp(segment.end, segment.start, one).sum())
    return derivatives


def sum_of_logs(factors: list[Factor], product: Scaled) -> Comparison:
    """The factors' log₁₀ against that of the product."""
    total = math.fsum(one.log10 for one in factors) if all(one.value for one in factors) else -math.inf
    whole = product.signed().log10
    difference = 0.0 if total == whole else abs(total - whole) / max(abs(whole), 1.0)
    return held("sum_of_logs", Signed.of(total), Signed.of(whole), difference, SUMS, len(factors))


def rounded_by_autograd(factors: list[Factor], tolerance: float) -> Message | None:
    """The factor at which autograd has lost the digits, if that is what happened.

    σ′(51) is 7.1e-23, and 1 - σ(51) rounds to 0. Such a difference is no larger than the rounding of the numbers that
    were subtracted; a larger one is a wrong factor, and nothing to be explained away.
    """
    slopes = [(f.value, f.autograd, f.at or 0.0, f) for f in factors if f.autograd is not None]
    worst = rounded_most([(value, autograd, at) for value, autograd, at, _ in slopes], tolerance)
    if worst is None:
        return None
    one = slopes[worst][3]
    return Message(
        "trace.why.rounding", {"site": one.site, "op": one.op, "formula": one.value, "autograd": one.autograd}
    )


def rounded_most(slopes: list[tuple[float, float, float]], tolerance: float) -> int | None:
    """Which of (formula, autograd, where) is most off by rounding; ``None`` if none is, or one is off by more."""
    worst, apart = None, tolerance / 10
    for index, (formula, autograd, at) in enumerate(slopes):
        off = abs(autograd - formula)
        relative = off / abs(formula) if formula else (math.inf if off else 0.0)
        if relative > tolerance / 10 and not off <= _ROUNDING * max(1.0, abs(at)):
            return None
        if relative > apart:
            worst, apart = index, relative
    return worst
