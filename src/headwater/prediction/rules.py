"""How mean and variance pass through each kind of operation, and the gradient back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from headwater.prediction.activations import response
from headwater.prediction.signal import (
    Gradient,
    Signal,
    Source,
    Terms,
    in_common,
    is_followed,
    latest,
    matrix,
    mixed_spread,
    summed,
)
from headwater.theory import Activation

Pull = Callable[[list[Gradient | None]], list[Gradient]]
"""From the gradients of an operation's outputs to those of its inputs."""

Passed = tuple[list[Signal], Pull]

_SELU_LOWEST = -1.7580993408473766  # -λα


def linear(
    map_means: Callable[..., Any], map_variances: Callable[..., Any], inputs: Sequence[Signal], drawn: int | None = None
) -> Passed:
    """An affine map: means go through it, variances through its square.

    Args:
        map_means: The map itself, of the inputs' tensors; gives a tensor or several.
        map_variances: The map without its constant, each of its factors squared.
        inputs: What it takes.
        drawn: Outputs that one unit's weights are drawn for; ``None`` if it has no weights.
    """
    with torch.enable_grad():
        means = [signal.mean.detach().clone().requires_grad_() for signal in inputs]
        variances = [signal.variance.detach().clone().requires_grad_() for signal in inputs]
        through, squared = _several(map_means(*means)), _several(map_variances(*variances))
    mixed = _mixed(inputs)
    outputs = [
        _made(mixed, mean.detach(), variance.detach(), drawn) for mean, variance in zip(through, squared, strict=True)
    ]

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        given = _in_one_unit(gradients)
        back = _vector_jacobian(through, means, [g.means if g else None for g in given], batched=True)
        back_squares = _vector_jacobian(squared, variances, [g.variance if g else None for g in given], batched=False)
        known = [g for g in given if g]
        spread = mixed_spread(*((float(g.square.sum()), g.spread) for g in known))
        exponent = known[0].exponent
        return [
            Gradient(m, v, spread + (2.0 / _units(signal) if drawn else 0.0), exponent)
            for m, v, signal in zip(back, back_squares, inputs, strict=True)
        ]

    return outputs, pull


def dense(weight: Tensor, bias: Tensor | None, signal: Signal) -> Passed:
    """A matrix; of a vector covariances go through it too, where those of its output are followed.

    Args:
        weight: (out, in).
        bias: (out,) or ``None``.
        signal: The input.
    """
    outputs, pull = linear(*affine(weight, bias), [signal], len(weight))
    if not is_followed(outputs[0].mean):
        return outputs, pull
    weight = weight.detach().double()
    covariance = signal.covariance
    within = weight * signal.variance if covariance is None else weight @ covariance
    outputs[0].covariance = within @ weight.T
    outputs[0].variance = outputs[0].covariance.diagonal().reshape(outputs[0].mean.shape).clamp(min=0)

    def pull_covariance(gradients: list[Gradient | None]) -> list[Gradient]:
        (gradient,) = pull(gradients)
        given = gradients[0]
        assert given is not None
        half = matrix(given.covariance, given.variance) @ weight
        gradient.variance = (weight * half).sum(0).reshape(signal.mean.shape).clamp(min=0)
        gradient.covariance = weight.T @ half if is_followed(signal.mean) else None
        return [gradient]

    return outputs, pull_covariance


def shape_only(change: Callable[..., Any], inputs: Sequence[Signal]) -> Passed:
    """An operation that moves elements about, or drops some; covariances stay where their order does."""
    outputs, pull = linear(change, change, inputs)
    before, after = inputs[0].mean, outputs[0].mean
    if len(inputs) > 1 or len(outputs) > 1 or not torch.equal(after.reshape(-1), before.reshape(-1)):
        return outputs, pull
    outputs[0].covariance = inputs[0].covariance
    if after.shape == before.shape:
        outputs[0].terms = inputs[0].parts()
    return outputs, pull if after.shape != before.shape else lambda gradients: [g for g in gradients if g is not None]


def averaging(average: Callable[[Tensor], Tensor], signal: Signal, weights: Tensor | float | None = None) -> Passed:
    """Means over positions, which are taken to deviate independently.

    Args:
        average: The map.
        signal: The input.
        weights: That the elements of each output's window have; by default one over their number, each in one window.
    """
    if weights is None:
        weights = average(signal.mean).numel() / max(1, signal.mean.numel())
    return linear(average, lambda v: average(v) * weights, [signal])


def elementwise(activation: Activation, signal: Signal, parameters: dict[str, Any]) -> Passed:
    """An activation of a normal variable, by quadrature; its slope is taken to be independent of the gradient."""
    covariance = matrix(signal.covariance, signal.variance) if is_followed(signal.mean) else None
    found = response(activation, signal.mean, signal.variance, parameters, covariance)
    source = Source(signal.mean, signal.variance, activation, parameters)
    output = Signal(found.mean, found.variance, signal.spread, signal.units, found.kurtosis, found.covariance)
    output.source, output.terms = source, _with_rest(signal, found.slope, found.variance, found.covariance)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        slope, square_slope = gradient.slopes or (found.slope, found.square_slope)
        means = gradient.means * slope
        variance = (gradient.square * square_slope - means.square().mean(0)).clamp(min=0)
        extra = 3.0 * (found.slope_kurtosis - 1.0) / signal.units
        result = Gradient(means, variance, gradient.spread + extra, gradient.exponent)
        if found.slope_products is not None:
            result.covariance = _through_slopes(gradient, found.slope_products, means)
            result.variance = result.covariance.diagonal().reshape(means.shape[1:]).clamp(min=0)
        return [result]

    return [output], pull


def _with_rest(signal: Signal, slope: Tensor | float, variance: Tensor, covariance: Tensor | None = None) -> Terms:
    """An elementwise function of a normal variable: E[φ′] times it, and a rest that does not go with it (Bussgang)."""
    own = matrix(signal.covariance, signal.variance) if covariance is not None else None
    left = None if covariance is None or own is None else covariance - _scaled(own, _expanded(slope, signal))
    spread = (variance - signal.variance * slope * slope).clamp(min=0)
    rest = Signal(torch.zeros_like(variance), spread, covariance=left)
    return latest({**signal.parts(slope), id(rest): (rest, 1.0)})


def _expanded(factor: Tensor | float, signal: Signal) -> Tensor:
    return torch.as_tensor(factor, dtype=torch.float64).expand(signal.mean.shape)


def _through_slopes(gradient: Gradient, products: Tensor, means: Tensor) -> Tensor:
    """Covariance of slopes times gradients that are independent of them, mean over the directions."""
    rows, made = (m.reshape(len(m), -1) for m in (gradient.means, means))
    second = matrix(gradient.covariance, gradient.variance) + rows.T @ rows / len(rows)
    return second * products - made.T @ made / len(made)


def scaled(signal: Signal, mean: Tensor, factor: Tensor) -> Passed:
    """An elementwise affine map: ``mean`` is what becomes of the mean, ``factor`` what multiplies deviations."""
    output = signal.like(mean, signal.variance * factor.square())
    output.covariance = _scaled(signal.covariance, factor.expand(signal.mean.shape))
    output.terms = signal.parts(factor)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        return [
            Gradient(
                gradient.means * factor,
                gradient.variance * factor.square(),
                gradient.spread,
                gradient.exponent,
                _scaled(gradient.covariance, factor.expand(signal.mean.shape)),
            )
        ]

    return [output], pull


@overload
def _scaled(covariance: Tensor, factor: Tensor) -> Tensor: ...
@overload
def _scaled(covariance: Tensor | None, factor: Tensor) -> Tensor | None: ...
def _scaled(covariance: Tensor | None, factor: Tensor) -> Tensor | None:
    return None if covariance is None else covariance * torch.outer(factor.reshape(-1), factor.reshape(-1))


def normalised(signal: Signal, axes: tuple[int, ...], eps: float, weight: Any, bias: Any, centred: bool) -> Passed:
    """Mean and spread over some axes taken out; each is taken to be what it is on average.

    What the backward pass of a normalisation subtracts is a share of one over the number of elements, and left out.

    Args:
        signal: The input.
        axes: Over which elements are normalised together.
        eps: Added to the variance.
        weight: γ, shaped to stand beside the input, or ``None``.
        bias: β, or ``None``.
        centred: Whether the mean is subtracted.
    """
    centre = signal.mean.mean(axes, keepdim=True) if centred else torch.zeros_like(signal.mean)
    spread = signal.square.mean(axes, keepdim=True) - centre.square()
    factor = (spread.clamp(min=0) + eps).rsqrt() * (1.0 if weight is None else weight)
    outputs, pull = scaled(signal, (signal.mean - centre) * factor + (0.0 if bias is None else bias), factor)
    outputs[0].spread, outputs[0].units = 0.0, math.inf  # whatever was drawn before, this has one scale
    return outputs, pull


def dropped(signal: Signal, probability: float) -> Passed:
    """Inverted dropout: the mean stays, each square grows by 1 / (1 - p); at p = 1 nothing is left."""
    keep = 1.0 - probability
    if keep <= 0.0:
        return scaled(signal, torch.zeros_like(signal.mean), torch.zeros_like(signal.mean))
    output = signal.like(signal.mean, signal.square / keep - signal.mean.square())
    output.terms = _with_rest(signal, 1.0, output.variance)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        variance = gradient.square / keep - gradient.means.square().mean(0)
        return [Gradient(gradient.means, variance, gradient.spread, gradient.exponent)]

    return [output], pull


def alpha_dropped(signal: Signal, probability: float) -> Passed:
    """Dropout to the value that SELU saturates at, and back to mean 0 and variance 1 (Klambauer et al. 2017)."""
    keep = 1.0 - probability
    if keep <= 0.0:
        return scaled(signal, torch.zeros_like(signal.mean), torch.zeros_like(signal.mean))
    scale = (keep + _SELU_LOWEST**2 * keep * probability) ** -0.5
    shift = -scale * _SELU_LOWEST * probability
    mean = scale * (keep * signal.mean + probability * _SELU_LOWEST) + shift
    kept = (scale * signal.mean + shift).square() + scale**2 * signal.variance
    square = keep * kept + probability * (scale * _SELU_LOWEST + shift) ** 2
    output = signal.like(mean, (square - mean.square()).clamp(min=0))
    output.terms = _with_rest(signal, keep * scale, output.variance)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        means = gradient.means * keep * scale
        variance = gradient.square * keep * scale**2 - means.square().mean(0)
        return [Gradient(means, variance, gradient.spread, gradient.exponent)]

    return [output], pull


def multiplied(signal: Signal, factor: Tensor | float) -> Passed:
    """A signal times a constant, which may be of a larger shape."""
    outputs, pull = linear(lambda a: a * factor, lambda a: a * factor**2, [signal])
    if outputs[0].mean.shape == signal.mean.shape:
        outputs[0].terms = signal.parts(factor)
    return outputs, pull


def total(left: Signal, right: Signal, sign: float) -> Passed:
    """Two signals added, or one subtracted; what they have in common is counted as such, the rest as uncorrelated."""
    outputs, pull = linear(lambda a, b: a + sign * b, lambda a, b: a + b, [left, right])
    output, alike = outputs[0], left.mean.shape == right.mean.shape
    if alike:
        output.covariance = summed(left.covariance, right.covariance)
        for term, own, other in in_common(left, right):
            output.variance = (output.variance + 2 * sign * own * other * term.variance).clamp(min=0)
            if output.covariance is not None:
                both = torch.outer(_expanded(own, term).reshape(-1), _expanded(other, term).reshape(-1))
                output.covariance = output.covariance + sign * (both + both.T) * matrix(term.covariance, term.variance)
        output.terms = _merged(left.parts(), right.parts(sign))

    def pull_covariance(gradients: list[Gradient | None]) -> list[Gradient]:
        results = pull(gradients)
        given = gradients[0]
        if given is not None and alike:
            for result in results:
                result.covariance = given.covariance
        return results

    return outputs, pull_covariance


def _merged(left: Terms, right: Terms) -> Terms:
    factors = {key: (term, left[key][1] + factor if key in left else factor) for key, (term, factor) in right.items()}
    return latest({**left, **factors})


def product(left: Signal, right: Signal) -> Passed:
    """Two signals multiplied, as by a gate; what they have in common is counted, as of normal variables."""
    mean, square = left.mean * right.mean, left.square * right.square
    if left.mean.shape == right.mean.shape:
        together = sum((own * other * term.variance for term, own, other in in_common(left, right)), torch.zeros(()))
        square = square + 2 * together.square() + 4 * mean * together
        mean = mean + together
    variance = (square - mean.square()).clamp(min=0)
    output = Signal(mean, variance, left.total_spread + right.total_spread)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        results = []
        for own, other in ((left, right), (right, left)):
            means = _reduced(gradient.means * other.mean, own.mean, batched=True)
            square = _reduced(gradient.square * other.square, own.mean, batched=False)
            variance = (square - means.square().mean(0)).clamp(min=0)
            results.append(Gradient(means, variance, gradient.spread + other.total_spread, gradient.exponent))
        return results

    return [output], pull


def squared(signal: Signal) -> Passed:
    """A signal times itself, as of normal variables: (x²)′ = 2x."""
    outputs, _ = product(signal, signal)

    def pull(gradients: list[Gradient | None]) -> list[Gradient]:
        gradient = _in_one_unit(gradients)[0]
        assert gradient is not None
        means = 2 * gradient.means * signal.mean
        variance = (4 * gradient.square * signal.square - means.square().mean(0)).clamp(min=0)
        return [Gradient(means, variance, gradient.spread + signal.total_spread, gradient.exponent)]

    return outputs, pull


def convolution(module: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A convolution of either direction and its square."""
    weight, bias = module.weight.detach().double(), module.bias
    bias = None if bias is None else bias.detach().double()
    if module.transposed:
        transpose = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[weight.dim() - 2]
        rest = module.stride, module.padding, module.output_padding, module.groups, module.dilation
        return lambda x: transpose(x, weight, bias, *rest), lambda v: transpose(v, weight.square(), None, *rest)
    return (
        lambda x: module._conv_forward(x, weight, bias),
        lambda v: module._conv_forward(v, weight.square(), None),
    )


def affine(weight: Tensor, bias: Tensor | None) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A matrix and its square.

    Args:
        weight: (out, in).
        bias: (out,) or ``None``.
    """
    weight = weight.detach().double()
    bias = None if bias is None else bias.detach().double()
    return lambda x: F.linear(x, weight, bias), lambda v: F.linear(v, weight.square())


def channels_first(values: Any, x: Tensor) -> Any:
    """A tensor of one number per channel, shaped to stand beside ``x``."""
    if values is None:
        return None
    return values.detach().double().reshape([1, -1] + [1] * (x.dim() - 2))


def _vector_jacobian(
    outputs: list[Tensor], inputs: list[Tensor], vectors: list[Tensor | None], batched: bool
) -> list[Tensor]:
    pairs = [(y, v) for y, v in zip(outputs, vectors, strict=True) if v is not None and y.requires_grad]
    lead = next(v for v in vectors if v is not None).shape[:1] if batched else ()
    if not pairs:
        return [torch.zeros(*lead, *x.shape, dtype=torch.float64) for x in inputs]
    found = torch.autograd.grad(
        [y for y, _ in pairs], inputs, [v for _, v in pairs], is_grads_batched=batched, allow_unused=True
    )
    return [
        torch.zeros(*lead, *x.shape, dtype=torch.float64) if g is None else g.detach()
        for x, g in zip(inputs, found, strict=True)
    ]


def _in_one_unit(gradients: list[Gradient | None]) -> list[Gradient | None]:
    unit = max(g.exponent for g in gradients if g)
    return [g and g.in_units(unit) for g in gradients]


def _mixed(inputs: Sequence[Signal]) -> Signal:
    """Spread, units and kurtosis of what comes from several inputs."""
    if len(inputs) == 1:
        return inputs[0]
    spread = mixed_spread(*((float(signal.square.sum()), signal.total_spread) for signal in inputs))
    return Signal(inputs[0].mean, inputs[0].variance, spread)


def _made(before: Signal, mean: Tensor, variance: Tensor, drawn: int | None) -> Signal:
    if drawn is None:
        return before.like(mean, variance)
    return Signal(mean, variance, before.total_spread, float(max(1, drawn)))


def _units(signal: Signal) -> float:
    """Channels, of which a gradient's mean square is an average."""
    return float(max(1, signal.mean.shape[1])) if signal.mean.dim() > 1 else math.inf


def _reduced(values: Tensor, like: Tensor, batched: bool) -> Tensor:
    """Summed over what broadcasting has repeated."""
    wanted = (*values.shape[:1], *like.shape) if batched else tuple(like.shape)
    lead = len(values.shape) - len(wanted)
    values = values.sum(dim=tuple(range(int(batched), int(batched) + lead))) if lead else values
    repeated = [axis for axis, (have, want) in enumerate(zip(values.shape, wanted, strict=True)) if have != want]
    return values.sum(dim=repeated, keepdim=True) if repeated else values


def _several(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
