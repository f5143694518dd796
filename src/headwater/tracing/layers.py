"""A larger network: what each operation on the gradient's way does to it, and what its Jacobian could do."""

from __future__ import annotations

import math

import torch
from torch.autograd.graph import GradientEdge

from headwater.records import Comparison, InputError, LayerGain, Message, Signed
from headwater.tracing.backward import Gradient, vjp, walk
from headwater.tracing.checks import held
from headwater.tracing.jacobian import Jacobian, jacobian
from headwater.tracing.passes import Pass
from headwater.tracing.scaled import log10_norm

_LOWEST = -290.0  # decades; below, a float64 gradient has lost digits in one backward pass
_BOUND = 1e-9  # an eigenvalue against a ratio of norms
SEED = 0  # of the random vectors: a trace of the same model reads the same twice


def layer_gains(done: Pass, with_jacobians: bool = True) -> tuple[tuple[LayerGain, ...], list[Gradient]]:
    """One row per operation from the loss back to the input, and the gradient between them.

    Args:
        done: The pass.
        with_jacobians: Whether gain and largest singular value of each are looked for.

    Raises:
        InputError: If the gradient turns into NaN or Inf on its way.
    """
    gradients = walk(done.graph.root, done.segments, done.loss)
    generator = torch.Generator().manual_seed(SEED)
    rows = []
    samples = done.subject.samples
    for segment, after, before in zip(reversed(done.segments), gradients[:-1], gradients[1:], strict=True):
        operation = segment.operation
        if not bool(torch.isfinite(before.tensor).all()):
            raise InputError(
                f"the gradient turns into NaN or Inf on its way back through {operation.name} ({operation.op}), as at "
                "sqrt(0) or where a 0 is divided by. Keep its input away from there, such as sqrt(x + 1e-12); "
                "hw.check(model, batch, loss) counts where else it happens."
            )
        shared = samples if _is_batch(before.tensor, samples) and _is_batch(after.tensor, samples) else 1
        found = _jacobian(done, segment.end, segment.start, after, generator) if with_jacobians else Jacobian("none")
        rows.append(
            LayerGain(
                name=operation.name,
                op=operation.op,
                kind=operation.kind,
                part="loss" if operation.part == "loss" else "model",
                inside=len(segment.inside),
                inputs=before.tensor.numel() // shared,
                outputs=after.tensor.numel() // shared,
                log10_gradient=before.log10_norm,
                log10_ratio=_ratio(before, after),
                method=found.method,
                gain=found.gain,
                gain_error=found.gain_error,
                vectors=found.vectors,
                largest=found.largest,
                largest_is_bound=found.largest_is_bound,
                note=found.note,
            )
        )
    return tuple(rows), gradients


def layer_checks(
    done: Pass, gradients: list[Gradient], rows: tuple[LayerGain, ...], allowed: float
) -> list[Comparison]:
    """The gradient at the way's end, op by op and in one backward pass; its norm; and the bound on each ratio.

    Args:
        done: The pass.
        gradients: Of :func:`layer_gains`.
        rows: Of the same.
        allowed: Largest relative difference.
    """
    walked = gradients[-1]
    one = torch.ones((), dtype=done.loss.dtype, device=done.loss.device)
    whole = vjp(done.graph.root, done.start, one)
    made = []
    reference = walked.log10_norm
    if log10_norm(whole) > _LOWEST:
        reference = log10_norm(whole)
        apart = walked.tensor * math.ldexp(1.0, walked.exponent) - whole
        difference = float(apart.norm() / whole.norm())
        made.append(held("walk", _power(walked.log10_norm), _power(reference), difference, allowed, whole.numel()))
    ratios = [row.log10_ratio for row in rows if row.log10_ratio is not None]
    total = math.fsum([gradients[0].log10_norm, *ratios])
    difference = 0.0 if total == reference else abs(total - reference) / max(abs(reference), 1.0)
    made.append(held("telescope", _power(total), _power(reference), difference, allowed, len(rows)))
    known = [row for row in rows if row.largest is not None and not row.largest_is_bound]
    bounded = [(row.log10_ratio, row.largest) for row in known if row.log10_ratio is not None]
    if bounded:
        made.append(_bound(bounded, max(allowed, _BOUND)))
    return made


def _bound(rows: list[tuple[float, float | None]], allowed: float) -> Comparison:
    """No ratio exceeds the largest singular value; the one that comes nearest."""
    log10, largest = max(rows, key=lambda row: _over(*row))
    over = _over(log10, largest)
    return held("bound", _power(log10), Signed.of(largest or 0.0), max(over, 0.0), allowed, len(rows))


def _over(log10_ratio: float, largest: float | None) -> float:
    """By what share of the largest singular value the ratio exceeds it; negative below it."""
    ratio = 10.0**log10_ratio
    return ratio / largest - 1.0 if largest else (-1.0 if ratio == 0 else math.inf)


def _power(log10: float) -> Signed:
    if not math.isfinite(log10):
        return Signed(0.0 if log10 < 0 else log10, 0, log10)
    return Signed(10.0**log10 if -300 < log10 < 300 else 0.0, 1, log10)


def _jacobian(
    done: Pass, end: GradientEdge, start: GradientEdge, after: Gradient, generator: torch.Generator
) -> Jacobian:
    try:
        return jacobian(end, start, after.tensor, done.subject.samples, generator)
    except RuntimeError as error:  # out of memory, or an operation that refuses vectors other than the loss's own
        return Jacobian("none", note=Message("trace.note.no_jacobian", {"error": f"{type(error).__name__}: {error}"}))


def _ratio(before: Gradient, after: Gradient) -> float | None:
    low, high = before.log10_norm, after.log10_norm
    return low - high if high > -math.inf else None


def _is_batch(tensor: torch.Tensor, samples: int) -> bool:
    return tensor.dim() > 1 and tensor.shape[0] == samples
