"""A forward pass that can be followed back: run, looked over, and cut."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from headwater.probes.tree import describe, tensors
from headwater.records import InputError, Message
from headwater.tracing.capture import Capture, forward
from headwater.tracing.cuts import Graph, Segment
from headwater.tracing.subject import Subject, refused_by


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass of a subject.

    Attributes:
        subject: What was run.
        capture: What ran.
        loss: The number that is differentiated, with its graph.
        graph: The graph under it.
        start: Where the gradient's way ends: the input, or the first operation's output where that is no number.
        segments: The way in between, from the input to the loss; empty if it cannot be cut.
        notes: What has to be said about it.
    """

    subject: Subject
    capture: Capture
    loss: Tensor
    graph: Graph
    start: GradientEdge
    segments: list[Segment]
    notes: tuple[Message, ...]

    @property
    def dtype(self) -> str:
        """What is computed with: ``float64`` wherever the model runs in that."""
        return dtype_name(self.subject.dtype)

    @property
    def eps(self) -> float:
        """Relative rounding of what is differentiated."""
        narrowed = self.capture.narrowed
        return float(torch.finfo(narrowed.dtype if narrowed is not None else self.subject.dtype).eps)

    def parameter(self, name: str) -> nn.Parameter:
        """The copy's parameter of that name."""
        return dict(self.subject.model.named_parameters(remove_duplicate=False))[name]

    def first_name(self, parameter: Tensor) -> str:
        """What ``named_parameters()`` calls a parameter of the copy; of a tied one's names, the first."""
        named = self.subject.model.named_parameters(remove_duplicate=False)
        return next(name for name, other in named if other is parameter)

    @property
    def model_segments(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.operation.part == "model"]

    @property
    def loss_segments(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.operation.part == "loss"]


def passed(subject: Subject) -> Pass:
    """Run a copy of the subject in float64, or as it is where it cannot run in that.

    Raises:
        InputError: If it cannot be run, holds NaN or Inf, or has no graph; the message names the culprit.
    """
    double = subject.converted(torch.float64)
    capture, loss, error = forward(double.model, double.run)
    notes: tuple[Message, ...] = ()
    if error is not None:
        own = _own_dtype(subject.model)
        plain = subject.converted(own)
        again, loss, own_error = forward(plain.model, plain.run)
        if own_error is not None:
            if again.cut_off and loss is None and "no graph" in str(own_error):  # a loss that was checked already
                raise InputError(_no_graph(again)) from own_error
            name, module = again.innermost or ("", None)
            raise refused_by(own_error, name, module) if isinstance(own_error, InputError) else own_error
        cause = error.__cause__ or error
        told = f"{type(cause).__name__}: {cause}"
        notes = (Message("trace.note.not_double", {"error": told, "dtype": dtype_name(own)}),)
        double, capture = plain, again
    assert loss is not None
    _refuse_nonfinite(double, capture, loss)
    if loss.grad_fn is None:
        raise InputError(_no_graph(capture))
    narrowed = capture.narrowed
    if narrowed is not None:
        kind = dtype_name(narrowed.dtype)
        note = Message("trace.note.narrowed", {"site": narrowed.name, "op": narrowed.op, "dtype": kind})
        notes = (*notes, note)
    graph = Graph(loss)
    capture.note_own_backwards(reversed(graph.order))
    start = _start(capture)
    return Pass(double, capture, loss, graph, start, graph.segments(start, capture), notes)


def _start(capture: Capture) -> GradientEdge:
    if capture.input is not None:
        return get_gradient_edge(capture.input)
    if not capture.operations:
        raise InputError("the model ran no operation that autograd saw. Trace the model that computes the output.")
    return capture.operations[0].edge


def _own_dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def lower_dtype(model: nn.Module) -> torch.dtype:
    """The type a model is kept in, float32 where that is float64."""
    own = _own_dtype(model)
    return torch.float32 if own == torch.float64 else own


def dtype_name(dtype: torch.dtype) -> str:
    """``float64``."""
    return str(dtype).removeprefix("torch.")


def _refuse_nonfinite(subject: Subject, capture: Capture, loss: Tensor) -> None:
    for tensor in tensors(subject.data):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"the data hold {_broken(tensor)} ({describe(tensor)}): the chain rule needs finite numbers. "
                "Clean them first: hw.trace(model, torch.nan_to_num(x), y)."
            )
    for name, parameter in subject.model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(
                f"{name} holds {_broken(parameter)}: an earlier update spoiled it, or it was loaded so. "
                "Start from finite weights; hw.check(model, batch, loss) finds what spoils them."
            )
    if capture.nonfinite is not None or not bool(torch.isfinite(loss.detach())):
        where = f"NaN or Inf appears first in the output of {capture.nonfinite}" if capture.nonfinite else ""
        raise InputError(
            f"{where or f'the loss is {float(loss.detach())}'}, although weights and data are finite: look for "
            "0/0, log(0) or the root of a negative number there, or hand over smaller numbers: "
            "hw.trace(model, x / 100, y)."
        )


def _broken(tensor: Tensor) -> str:
    nan, inf = int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
    return f"{nan} NaN and {inf} Inf among {tensor.numel()} values"


def _no_graph(capture: Capture) -> str:
    said = "no gradient flows back from what is differentiated: it has no graph."
    if capture.cut_off:
        return (
            f"{said} It was cut off at {capture.cut_off[-1]}, which has no derivative or drops the graph. "
            "Leave it out: trace the numbers before it, such as the logits before argmax()."
        )
    return f"{said} It was computed under no_grad(), detached, or does not depend on the model."
