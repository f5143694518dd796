"""A small network, unit by unit: values forward, errors backward, each weight's gradient as error × activation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from headwater.records import Comparison, Descent, Factor, Message, ScalarPath, Signed, Stage, WeightGradient
from headwater.tracing.backward import vjp
from headwater.tracing.chain import factor, rounded_most
from headwater.tracing.checks import held, relative
from headwater.tracing.formulas import Affine, Array, Bend, Step, numbers, uses_of
from headwater.tracing.passes import Pass

MOST_PATHS = 400  # scalar ways from an input to an output; more is nothing to read
MOST_WIDTH = 16
MOST_WEIGHTS = 400
MOST_LISTED_PATHS = 64


@dataclass(frozen=True, eq=False)
class Errors:
    """Back-propagation by hand.

    Attributes:
        output: ∂L/∂output.
        after: ∂L/∂(what a step gives), in the order of the steps.
        input: ∂L/∂x.
    """

    output: Array
    after: list[Array]
    input: Array


def is_small(sizes: list[int], steps: list[Step]) -> bool:
    """Whether every unit can be shown."""
    weights = sum(step.weight.size for step in steps if isinstance(step, Affine))
    return math.prod(sizes) <= MOST_PATHS and max(sizes) <= MOST_WIDTH and weights <= MOST_WEIGHTS


def back_propagated(done: Pass, steps: list[Step]) -> Errors:
    """The error after each step, from the output back: Wᵀδ through an affine map, φ′δ through an activation."""
    output = _output_gradient(done, steps[-1].after.shape)
    here, after = output, []
    for step in reversed(steps):
        after.append(here)
        here = step.weight.T @ here if isinstance(step, Affine) else step.slope * here
    return Errors(output, after[::-1], here)


def _output_gradient(done: Pass, shape: tuple[int, ...]) -> Array:
    one = torch.ones((), dtype=done.loss.dtype, device=done.loss.device)
    edge = done.model_segments[-1].end
    if edge.node is done.graph.root.node:
        return np.ones(shape)
    return numbers(vjp(done.graph.root, edge, one)).reshape(shape)


def stages_of(steps: list[Step], errors: Errors) -> tuple[Stage, ...]:
    """Every row of units with what it holds and the error at it."""
    first = Stage("x", "", "input", _floats(steps[0].before), _floats(errors.input), ())
    rows = [first]
    for step, error in zip(steps, errors.after, strict=True):
        affine = isinstance(step, Affine)
        slopes = () if isinstance(step, Affine) else _floats(step.slope)
        rows.append(
            Stage(
                step.operation.name,
                step.operation.op,
                "affine" if affine else "activation",
                _floats(step.after),
                _floats(error),
                slopes,
            )
        )
    return tuple(rows)


def weight_gradients(steps: list[Step], errors: Errors, rate: float) -> tuple[WeightGradient, ...]:
    """The gradient that each use of each weight and bias gets: the error after it times the activation before it.

    Args:
        steps: Of the model.
        errors: After each.
        rate: α of the step that all uses together make of a weight.
    """
    found: list[WeightGradient] = []
    uses: Counter[str] = Counter()
    for step, error in zip(steps, errors.after, strict=True):
        if not isinstance(step, Affine):
            continue
        uses[step.weight_name] += 1
        for (row, column), value in np.ndenumerate(step.weight):
            before = float(step.before[column])
            use = uses[step.weight_name]
            found.append(_weight(step.weight_name, (row, column), use, float(value), float(error[row]), before))
        if step.bias is None:
            continue
        uses[step.bias_name] += 1
        for (row,), value in np.ndenumerate(step.bias):
            found.append(_weight(step.bias_name, (row,), uses[step.bias_name], float(value), float(error[row]), 1.0))
    gradients = summed(found)
    return tuple(replace(w, updated=w.value - rate * gradients[w.parameter, w.index]) for w in found)


def _weight(name: str, index: tuple[int, ...], use: int, value: float, error: float, before: float) -> WeightGradient:
    return WeightGradient(name, index, use, value, error, before, gradient=error * before, updated=value)


def summed(weights: Iterable[WeightGradient]) -> dict[tuple[str, tuple[int, ...]], float]:
    """The gradient of each element of each parameter: the sum over its uses."""
    parts: dict[tuple[str, tuple[int, ...]], list[float]] = {}
    for weight in weights:
        parts.setdefault((weight.parameter, weight.index), []).append(weight.gradient)
    return {place: math.fsum(gradients) for place, gradients in parts.items()}


def scalar_paths(
    steps: list[Step], errors: Errors, parameter: str, index: tuple[int, ...]
) -> tuple[tuple[ScalarPath, ...], int]:
    """The ways from a weight to the outputs, from each of its uses, largest product first, and how many there are."""
    found: list[ScalarPath] = []
    count = 0
    for place in uses_of(steps, parameter):
        count += math.prod(step.after.size for step in steps[place + 1 :] if isinstance(step, Affine))
        found += _paths_from(place, steps, errors, parameter, index)
    found.sort(key=lambda path: -abs(path.product))
    return tuple(found[:MOST_LISTED_PATHS]), count


def _paths_from(
    place: int, steps: list[Step], errors: Errors, parameter: str, index: tuple[int, ...]
) -> Iterator[ScalarPath]:
    """The ways on from one use of a weight or bias."""
    own = steps[place]
    assert isinstance(own, Affine)
    number = sum(isinstance(step, Affine) for step in steps[: place + 1])
    for units, slopes, weights, end in _ways(steps, place + 1, index[0], number):
        loss = factor("loss", 0, steps[-1].operation, float(errors.output[end]), None, None)
        factors = [loss, *slopes, *weights]
        if parameter == own.weight_name:
            factors.append(factor("input", number, own.operation, float(own.before[index[1]]), None, None))
        yield ScalarPath((index[0], *units), tuple(factors), math.prod(f.value for f in factors))


def _ways(
    steps: list[Step], place: int, unit: int, number: int
) -> Iterator[tuple[tuple[int, ...], list[Factor], list[Factor], int]]:
    """Units passed, slopes, weights and the output unit of each way on from a unit."""
    if place == len(steps):
        yield (), [], [], unit
        return
    step = steps[place]
    if isinstance(step, Affine):
        for row in range(step.after.size):
            own = factor("weight", number + 1, step.operation, float(step.weight[row, unit]), None, None)
            for units, slopes, weights, end in _ways(steps, place + 1, row, number + 1):
                yield (row, *units), slopes, [own, *weights], end
        return
    at, slope = float(step.before[unit]), float(step.slope[unit])
    own = factor("activation", number + 1, step.operation, slope, at, None)
    for units, slopes, weights, end in _ways(steps, place + 1, unit, number):
        yield units, [own, *slopes], weights, end


def paths_check(paths: tuple[ScalarPath, ...], count: int, gradient: float, allowed: float) -> Comparison | None:
    """The sum over all ways against error × activation; ``None`` if there are too many ways to list."""
    if len(paths) < count:
        return None
    total = math.fsum(path.product for path in paths)
    scale = max((abs(path.product) for path in paths), default=0.0)
    difference = relative(abs(total - gradient), scale)
    return held("paths", Signed.of(total), Signed.of(gradient), difference, allowed, count)


def rounded_slopes(done: Pass, steps: list[Step], allowed: float) -> Message | None:
    """Where autograd's own φ′ has lost digits that the formula keeps."""
    ends = {id(segment.operation): segment for segment in done.model_segments}
    slopes: list[tuple[float, float, float]] = []
    bends: list[Bend] = []
    for step in steps:
        segment = ends.get(id(step.operation))
        if isinstance(step, Bend) and segment is not None:
            one = torch.ones(step.operation.shape, dtype=done.loss.dtype, device=done.loss.device)
            found = vjp(segment.end, segment.start, one).reshape(-1).tolist()
            slopes += list(zip(_floats(step.slope), found, _floats(step.before), strict=True))
            bends += [step] * len(found)
    worst = rounded_most(slopes, allowed)
    if worst is None:
        return None
    operation, (formula, autograd, _) = bends[worst].operation, slopes[worst]
    return Message(
        "trace.why.rounding",
        {"site": operation.name, "op": operation.op, "formula": formula, "autograd": autograd},
    )


def descended(done: Pass, weights: tuple[WeightGradient, ...], rate: float) -> Descent | None:
    """The loss after w ← w − α ∂L/∂w for every weight; the copy's weights are put back. ``None`` without a loss."""
    if not done.subject.is_loss:
        return None
    parameters = dict(done.subject.model.named_parameters())
    before = {name: parameters[name].detach().clone() for name in {weight.parameter for weight in weights}}
    for weight in weights:
        parameters[weight.parameter].data[weight.index] = weight.updated
    after = done.subject.value()
    for name, value in before.items():
        parameters[name].data.copy_(value)
    return Descent(rate, float(done.loss.detach()), after)


def _floats(array: Array) -> tuple[float, ...]:
    return tuple(map(float, array))
