"""From a subject to the chain rule of one of its gradients."""

from __future__ import annotations

import math
from dataclasses import replace

from torch.autograd.graph import get_gradient_edge

from headwater.probes.measure import measure
from headwater.records import (
    Arrival,
    Comparison,
    Derivation,
    Descent,
    Factor,
    InputError,
    LayerGain,
    Message,
    Path,
    ScalarPath,
    Signed,
    Stage,
    WeightGradient,
)
from headwater.records.trace import RATE, TraceKind
from headwater.tracing import checks
from headwater.tracing.arrival import arrival_of
from headwater.tracing.chain import chain_factors, rounded_by_autograd, sum_of_logs
from headwater.tracing.choose import chosen
from headwater.tracing.explained import by_autograd, in_dtype, of_any, of_element
from headwater.tracing.formulas import Step, steps_of, uses_of, widths
from headwater.tracing.layers import layer_checks, layer_gains
from headwater.tracing.network import (
    back_propagated,
    descended,
    is_small,
    paths_check,
    rounded_slopes,
    scalar_paths,
    stages_of,
    summed,
    weight_gradients,
)
from headwater.tracing.passes import Pass, dtype_name, lower_dtype, passed
from headwater.tracing.scaled import Scaled
from headwater.tracing.subject import Subject

MOST_SIZE_FOR_DIFFERENCES = 2_000_000  # weights of a model whose loss is computed twenty times more


def derive(
    subject: Subject, parameter: str | None = None, rate: float = RATE, with_jacobians: bool = True
) -> Derivation:
    """The chain rule of one gradient.

    Args:
        subject: Model, data and what is differentiated.
        parameter: Name of the weight, such as ``0.weight`` or ``0.weight[0,1]``; the first one by default.
        rate: α of the step of gradient descent that a small network shows.
        with_jacobians: Whether each operation of a larger network is also asked what it could do to any gradient,
            its gain and its largest singular value. Of convolutions that takes seconds.

    Raises:
        InputError: If model and data do not fit, there is no such parameter, or numbers are not finite.
    """
    if not isinstance(rate, (int, float)) or not math.isfinite(rate) or rate <= 0:
        raise InputError(f"rate is the α of w ← w − α ∂L/∂w, a positive number, got {rate!r}: hw.trace(..., rate=0.1)")
    whole = passed(subject)
    name, index = chosen(whole.capture, parameter, _used(whole))
    name = whole.first_name(whole.parameter(name))
    single, steps = _one_sample(whole, subject)
    uses = len(uses_of(steps, name))
    if uses and _is_penalised(single):
        whole = replace(whole, notes=(*whole.notes, Message("trace.note.penalised")))
        uses = 0
    if uses:
        sizes = widths(steps)
        if max(sizes) == 1 and len(steps) > 1 and uses == 1:
            return _chain(single, subject, steps, name, rate)
        if is_small(sizes, steps):
            return _network(single, subject, steps, name, index, rate)
    return _layers(whole, subject, name, index, with_jacobians)


def _used(done: Pass) -> set[str]:
    """Names of the parameters the loss depends on."""
    return {
        name
        for name, parameter in done.subject.model.named_parameters(remove_duplicate=False)
        if parameter.requires_grad and get_gradient_edge(parameter).node in done.graph.place
    }


def _one_sample(whole: Pass, subject: Subject) -> tuple[Pass, list[Step]]:
    """The pass of the first sample alone, and the steps of its model; no steps if it is no plain small network."""
    if whole.subject.samples == 1:
        return whole, steps_of(whole) or []
    segments = whole.model_segments
    if any(s.inside or s.operation.kind not in ("affine", "activation") for s in segments):
        return whole, []
    try:
        single = passed(subject.first_sample())
    except Exception:  # a batch that cannot be taken apart: then all of it is traced, layer by layer
        return whole, []
    return single, steps_of(single) or []


def _is_penalised(done: Pass) -> bool:
    """Whether the loss takes a weight not only through the model's output, but by itself."""
    output = done.model_segments[-1].end
    return any(
        done.graph.reached_beside(output, get_gradient_edge(parameter))
        for parameter in done.subject.model.parameters()
        if parameter.requires_grad
    )


def _chain(done: Pass, subject: Subject, steps: list[Step], name: str, rate: float) -> Derivation:
    factors = chain_factors(done, steps, name)
    product = Scaled.product(one.value for one in factors)
    allowed = checks.tolerance(checks.PRODUCT, done.dtype)
    index = (0,) * done.parameter(name).dim()
    reference, notes = of_element(done, name, by_autograd(done, name, index).value)
    why = rounded_by_autograd(factors, allowed)
    gradient = product.signed()
    errors = back_propagated(done, steps)
    weights = weight_gradients(steps, errors, rate)
    made = [
        checks.compared("product", product, reference, allowed, why, len(factors)),
        sum_of_logs(factors, product),
        checks.against_differences(done, [(name, index, gradient.value)], checks.sits_at_kink(steps)),
    ]
    return _derivation(
        done,
        subject,
        "chain",
        name,
        index,
        gradient,
        factors=tuple(factors),
        stages=stages_of(steps, errors),
        weights=weights,
        path_count=1,
        descent=descended(done, weights, rate),
        blocked=next(((f.site, f.op) for f in reversed(factors) if f.kind == "activation" and not f.value), None),
        checks=made,
        notes=notes,
    )


def _network(
    done: Pass, subject: Subject, steps: list[Step], name: str, index: tuple[int, ...] | None, rate: float
) -> Derivation:
    index = index if index is not None else (0,) * done.parameter(name).dim()
    errors = back_propagated(done, steps)
    weights = weight_gradients(steps, errors, rate)
    paths, count = scalar_paths(steps, errors, name, index)
    stages = stages_of(steps, errors)
    gradients = summed(weights)
    own = gradients[name, index]
    names = {weight.parameter for weight in weights}
    found = {name: by_autograd(done, name, ()).tensor for name in names}
    pairs = [(value, float(found[other][at])) for (other, at), value in gradients.items()]
    made = [
        checks.compared_all(
            "gradients",
            pairs,
            checks.tolerance(checks.GRADIENTS, done.dtype),
            rounded_slopes(done, steps, checks.GRADIENTS),
        ),
        paths_check(paths, count, own, checks.tolerance(checks.PRODUCT, done.dtype)),
        checks.against_differences(
            done,
            [(other, at, value) for (other, at), value in gradients.items()],
            checks.sits_at_kink(steps),
        ),
    ]
    return _derivation(
        done,
        subject,
        "network",
        name,
        index,
        Signed.of(own),
        stages=stages,
        weights=weights,
        paths=paths,
        path_count=count,
        descent=descended(done, weights, rate),
        blocked=None
        if own
        else next(((s.name, s.op) for s in reversed(stages) if s.slopes and not any(s.slopes)), None),
        checks=made,
        notes=_shared(weights),
    )


def _shared(weights: tuple[WeightGradient, ...]) -> tuple[Message, ...]:
    """Which parameters are used more than once."""
    uses = {weight.parameter: weight.use for weight in weights}  # the last use of each is its highest
    return tuple(Message("trace.note.shared", {"name": name, "uses": n}) for name, n in uses.items() if n > 1)


def _layers(done: Pass, subject: Subject, name: str, index: tuple[int, ...] | None, with_jacobians: bool) -> Derivation:
    found = by_autograd(done, name, index or ())
    notes: list[Message] = []
    made: list[Comparison | None] = []
    rows, gradients = layer_gains(done, with_jacobians) if done.segments else ((), [])
    if gradients:
        made += layer_checks(done, gradients, rows, checks.tolerance(checks.WALK, done.dtype))
    else:
        notes.append(Message("trace.note.no_cut"))
    inside = sum(row.inside for row in rows)
    if inside:
        notes.append(Message("trace.note.inside", {"operations": inside}))
    own = (
        arrival_of(done, gradients, name, index, found.value, checks.tolerance(checks.WALK, done.dtype))
        if index
        else None
    )
    arrival, compared = own if own is not None else (None, None)
    made.append(compared)
    size = sum(p.numel() for p in done.subject.model.parameters())
    if size <= MOST_SIZE_FOR_DIFFERENCES:
        made.append(checks.along_direction(done, done.parameter(name), found.tensor, _has_kinks(done)))
    return _derivation(
        done,
        subject,
        "layers",
        name,
        index or (),
        of_any(done, name, found),
        layers=rows,
        way=_way(done) if inside or not rows else None,
        log10_input_gradient=gradients[-1].log10_norm if gradients else None,
        arrival=arrival,
        blocked=next(((row.name, row.op) for row in rows if row.log10_ratio == -math.inf), None),
        checks=made,
        notes=tuple(notes),
        sample=None,
    )


def _has_kinks(done: Pass) -> bool:
    """Whether some operation's derivative jumps."""
    return any(
        (operation.activation is not None and operation.activation.kinks)
        or operation.kind == "pooling"
        or (operation.activation is None and operation.kind == "other")
        for operation in done.capture.operations
    )


def _way(done: Pass) -> Path | None:
    """The gradient's way through operations that run side by side, as ``hw.check`` follows it."""
    subject = done.subject
    try:
        return measure(subject.model, subject.data, lambda m, data: subject.evaluate(m, data)).path
    except InputError:
        return None


def _derivation(
    done: Pass,
    subject: Subject,
    kind: TraceKind,
    name: str,
    index: tuple[int, ...],
    gradient: Signed,
    *,
    checks: list[Comparison | None],
    notes: tuple[Message, ...],
    factors: tuple[Factor, ...] = (),
    stages: tuple[Stage, ...] = (),
    weights: tuple[WeightGradient, ...] = (),
    paths: tuple[ScalarPath, ...] = (),
    path_count: int = 0,
    descent: Descent | None = None,
    layers: tuple[LayerGain, ...] = (),
    way: Path | None = None,
    log10_input_gradient: float | None = None,
    arrival: Arrival | None = None,
    blocked: tuple[str, str] | None = None,
    sample: int | None = 0,
) -> Derivation:
    samples = subject.samples
    if sample is not None and samples > 1:
        notes = (*notes, Message("trace.note.first_sample", {"samples": samples}))
    rounded = lower_dtype(subject.model)
    return Derivation(
        kind=kind,
        target=done.subject.target(),
        loss=float(done.loss.detach()),
        parameter=name,
        index=index,
        gradient=gradient,
        rounded=in_dtype(done.subject, rounded, name, index),
        rounded_dtype=dtype_name(rounded),
        dtype=done.dtype,
        sample=sample,
        samples=samples,
        factors=factors,
        stages=stages,
        weights=weights,
        paths=paths,
        path_count=path_count,
        descent=descent,
        layers=layers,
        way=way,
        log10_input_gradient=log10_input_gradient,
        arrival=arrival,
        blocked=Message("trace.blocked", {"site": blocked[0], "op": blocked[1]}) if blocked is not None else None,
        checks=tuple(check for check in checks if check is not None),
        notes=(*done.notes, *notes),
    )
