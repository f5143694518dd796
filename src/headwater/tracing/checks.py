"""Two ways to one number, held against each other; what does not agree is said, never hidden."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from headwater.records import Comparison, Message, Signed
from headwater.records.trace import ComparisonStatus
from headwater.tracing.differences import Difference, central
from headwater.tracing.formulas import Bend, Step
from headwater.tracing.passes import Pass
from headwater.tracing.scaled import Scaled
from headwater.tracing.subject import Subject

PRODUCT = 1e-12  # a product of factors against autograd, in float64
GRADIENTS = 1e-9  # sums over paths, and central differences: LESSONS, row backprop
WALK = 1e-10  # a chain of matrix products against the same in one go
SUMS = 1e-12  # logarithms, relative to the largest
SINGLE = 1e-4  # any of them where only float32 could be computed with
_KINK = 1e-9
MOST_DIFFERENCES = 40  # weights moved to and fro; each takes twenty forward passes


def tolerance(wanted: float, dtype: str) -> float:
    return wanted if dtype == "float64" else SINGLE


def compared(
    id_: str, value: Scaled, reference: Scaled, allowed: float, why: Message | None = None, count: int = 1
) -> Comparison:
    """A number against another.

    Args:
        id_: Which comparison.
        value: What the chain rule gives.
        reference: What it is held against.
        allowed: Largest relative difference.
        why: What is known to have lost the reference's digits, if anything.
        count: How many numbers went into ``value``.
    """
    difference = value.difference(reference)
    status: ComparisonStatus = "holds" if difference <= allowed else ("rounding" if why is not None else "fails")
    return Comparison(
        id=id_,
        value=value.signed(),
        reference=reference.signed(),
        difference=difference,
        tolerance=allowed,
        status=status,
        count=count,
        why=why if status == "rounding" else None,
    )


def held(id_: str, value: Signed, reference: Signed, difference: float, allowed: float, count: int = 1) -> Comparison:
    """A difference that has been measured already: within what is allowed, or not."""
    status: ComparisonStatus = "holds" if difference <= allowed else "fails"
    return Comparison(id_, value, reference, difference, allowed, status, count, None)


def relative(apart: float, scale: float) -> float:
    """``apart`` in units of ``scale``; nothing over nothing is nothing."""
    return apart / scale if scale else (0.0 if not apart else math.inf)


def compared_all(
    id_: str, pairs: Iterable[tuple[float, float]], allowed: float, why: Message | None = None
) -> Comparison | None:
    """Many numbers against others, each relative to the largest reference; the worst is shown."""
    both = list(pairs)
    if not both:
        return None
    scale = max(abs(reference) for _, reference in both)
    worst = max(both, key=lambda pair: _apart(*pair))
    apart = _apart(*worst)
    difference = relative(apart, scale)
    status: ComparisonStatus = "holds" if difference <= allowed else ("rounding" if why is not None else "fails")
    return Comparison(
        id=id_,
        value=Signed.of(worst[0]),
        reference=Signed.of(worst[1]),
        difference=difference,
        tolerance=allowed,
        status=status,
        count=len(both),
        why=why if status == "rounding" else None,
    )


def _apart(value: float, reference: float) -> float:
    apart = abs(value - reference)
    return math.inf if math.isnan(apart) else apart


def against_differences(
    done: Pass, gradients: Iterable[tuple[str, tuple[int, ...], float]], at_kink: bool
) -> Comparison | None:
    """Gradients against central differences of what the model computes when one weight is moved.

    Args:
        done: The pass, whose copy is moved and put back.
        gradients: Parameter, index and gradient of each weight.
        at_kink: Whether some unit sits where its activation has no derivative.
    """
    wanted = list(gradients)
    chosen = wanted[:: math.ceil(len(wanted) / MOST_DIFFERENCES)] if wanted else []
    if not chosen:
        return None
    scale = max(abs(gradient) for _, _, gradient in wanted)
    worst: tuple[float, float, float, float] | None = None  # excess, value, reference, error
    for name, index, gradient in chosen:
        found = central(moved(done.subject, done.parameter(name), index), eps=done.eps)
        off = _apart(gradient, found.value)
        if worst is None or off > worst[0]:
            worst = off, gradient, found.value, found.error
    assert worst is not None
    off, gradient, reference, error = worst
    allowed = tolerance(GRADIENTS, done.dtype)
    difference = relative(off, scale)
    status: ComparisonStatus = "holds"
    why: Message | None = None
    if difference > allowed:
        status = "fails"
        if at_kink:
            status, why = "unresolved", Message("trace.why.kink")
        elif off <= 4 * error or not math.isfinite(reference):
            status, why = "unresolved", Message("trace.why.too_small", {"error": error})
    return Comparison(
        id="central_differences",
        value=Signed.of(gradient),
        reference=Signed.of(reference),
        difference=difference,
        tolerance=allowed,
        status=status,
        count=len(chosen),
        why=why,
    )


def moved(subject: Subject, parameter: torch.Tensor, index: tuple[int, ...]) -> Callable[[float], float]:
    """What is differentiated, as a function of how far one weight is moved; the weight is put back each time."""
    here = float(parameter.detach()[index])

    def function(h: float) -> float:
        parameter.data[index] = here + h  # not through the parameter, whose graph is still in use
        try:
            return subject.value()
        finally:
            parameter.data[index] = here

    return function


def moved_along(subject: Subject, parameter: torch.Tensor, direction: torch.Tensor) -> Callable[[float], float]:
    """The same for a whole parameter moved along a direction."""
    here = parameter.detach().clone()

    def function(h: float) -> float:
        parameter.data.copy_(here + h * direction)
        try:
            return subject.value()
        finally:
            parameter.data.copy_(here)

    return function


def along_direction(done: Pass, parameter: torch.Tensor, gradient: torch.Tensor, bends: bool) -> Comparison:
    """The gradient's component along a random direction against central differences.

    Args:
        done: The pass, whose copy is moved and put back.
        parameter: Of the copy.
        gradient: Of it.
        bends: Whether the network has kinks, over which a difference cannot be extrapolated.
    """
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
    direction = drawn / drawn.norm()
    value = float((gradient * direction).sum())
    scale = max(float(gradient.norm()) / math.sqrt(max(gradient.numel(), 1)), abs(value))
    function = moved_along(done.subject, parameter, direction)
    allowed = tolerance(1e-6, done.dtype)
    found = Difference(math.nan, math.inf)
    for step in (0.02, 1e-3, 1e-5):  # a large one resolves small gradients, a small one stays on one side of most kinks
        found = min(found, central(function, step, done.eps), key=_error)
        if found.error <= 0.1 * allowed * scale:
            break
    off = _apart(value, found.value)
    difference = relative(off, scale)
    status: ComparisonStatus = "holds"
    why: Message | None = None
    if difference > allowed:
        resolved = off > 4 * found.error and math.isfinite(found.value)
        own = done.capture.own_backwards
        status = "fails" if resolved and not bends and not own else "unresolved"
        if own and resolved:
            why = Message("trace.why.own_backward", {"site": own[0]})
        elif status == "unresolved":
            why = Message("trace.why.kinks") if resolved else Message("trace.why.too_small", {"error": found.error})
    return Comparison("direction", Signed.of(value), Signed.of(found.value), difference, allowed, status, 1, why)


def _error(difference: Difference) -> float:
    return difference.error


def sits_at_kink(steps: list[Step]) -> bool:
    """Whether some unit's input is where its activation has no derivative."""
    return any(
        abs(value - kink) < _KINK
        for step in steps
        if isinstance(step, Bend)
        for kink in _kinks(step)
        for value in step.before
    )


def _kinks(step: Bend) -> tuple[float, ...]:
    activation = step.activation
    return activation.kinks_at(**step.operation.parameters) if activation.kinks_at else activation.kinks
