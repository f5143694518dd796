"""The gradient that is explained, as autograd gives it: in one backward pass, op by op, in another type."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from headwater.records import InputError, Message, Signed
from headwater.tracing.backward import Gradient, vjp, walk
from headwater.tracing.layers import layer_gains
from headwater.tracing.passes import Pass
from headwater.tracing.scaled import Scaled, log10_norm
from headwater.tracing.subject import Subject

_NORMAL = 1e-290  # below, a float64 gradient loses digits on its way and soon is 0


@dataclass(frozen=True, eq=False)
class Explained:
    """A parameter's gradient.

    Attributes:
        tensor: Of the whole parameter.
        index: The element that is explained; empty for the norm of all.
    """

    tensor: Tensor
    index: tuple[int, ...]

    @property
    def value(self) -> float:
        """The element's gradient, or the norm of all."""
        return float(self.tensor[self.index]) if self.index else float(self.tensor.norm())


def by_autograd(done: Pass, name: str, index: tuple[int, ...]) -> Explained:
    """One backward pass in one go, as a training program runs it.

    Raises:
        InputError: If an operation has no derivative, or the gradient is not finite.
    """
    try:
        found = torch.autograd.grad(done.loss, [done.parameter(name)], retain_graph=True, allow_unused=True)[0]
    except RuntimeError as error:
        raise InputError(
            f"the backward pass raised {type(error).__name__}: {error}\n"
            "An operation on the way has no derivative: replace it, or trace the model up to it."
        ) from error
    if found is None:
        raise InputError(f"no gradient arrives at {name}, although it took part.")
    if not bool(torch.isfinite(found).all()):
        layer_gains(done)  # names the operation
        raise InputError(
            f"the gradient of {name} holds NaN or Inf: hw.check(model, batch, loss) says where they come from."
        )
    return Explained(found, index)


def in_dtype(subject: Subject, dtype: torch.dtype, name: str, index: tuple[int, ...]) -> Signed | None:
    """The same gradient as another type gives it; ``None`` where the model does not run in that."""
    try:
        plain = subject.converted(dtype)
        loss = plain.run()
        parameter = dict(plain.model.named_parameters(remove_duplicate=False))[name]
        gradient = torch.autograd.grad(loss, [parameter])[0].double()
    except (RuntimeError, InputError, TypeError, ValueError):
        return None
    if index:
        return Signed.of(float(gradient[index]))
    log10 = log10_norm(gradient)
    return Signed(float(gradient.norm()), int(log10 > -torch.inf), log10)


def of_element(done: Pass, name: str, raw: float) -> tuple[Scaled, tuple[Message, ...]]:
    """The gradient of a chain's weight; where it underflows in one pass, taken op by op, the exponent kept apart.

    Args:
        done: The pass.
        name: A parameter of one element.
        raw: Its gradient in one pass.
    """
    walked = None if abs(raw) > _NORMAL else _walked(done, name)
    if walked is None:
        return Scaled.of(raw), ()
    value = Scaled.of(float(walked.tensor.reshape(-1)[0]), walked.exponent)
    if value.mantissa == 0:
        return Scaled.of(raw), ()
    return value, (Message("trace.note.underflow_double", {"raw": raw}),)


def of_any(done: Pass, name: str, found: Explained) -> Signed:
    """The gradient of an element, or the norm of all, also where one backward pass in float64 underflows."""
    walked = None if abs(found.value) > _NORMAL else _walked(done, name)
    if walked is None:
        return Signed.of(found.value)
    if found.index:
        return Scaled.of(float(walked.tensor[found.index]), walked.exponent).signed()
    return Signed(found.value, 1 if walked.log10_norm > -torch.inf else 0, walked.log10_norm)


def _walked(done: Pass, name: str) -> Gradient | None:
    """A parameter's gradient through the cuts, rescaled at each; ``None`` where there are none."""
    parameter = done.parameter(name)
    passed_by = done.graph.cut_for(get_gradient_edge(parameter), done.segments) if done.segments else None
    if not passed_by:
        return None
    gradients = walk(done.graph.root, done.segments, done.loss)
    segment = done.segments[len(done.segments) - passed_by]
    before = gradients[passed_by - 1]
    return Gradient(vjp(segment.end, get_gradient_edge(parameter), before.tensor), before.exponent)
