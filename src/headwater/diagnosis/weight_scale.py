"""How large the weights of a layer start, next to what keeps a signal through the activation after it."""

import math
from dataclasses import dataclass

from headwater.records import Flow, InputError, ParameterFlow, SiteFlow
from headwater.theory import gain_backward, gain_forward

FACTOR = 3.0
SOURCE = (
    "a third of, or three times, the gains that keep signal and gradient (docs/theory.md); "
    "PyTorch's own start, 0.58, lies within for every activation"
)
_FAR_MEAN = 4.0  # standard errors: a fresh draw is centred


@dataclass(frozen=True)
class LayerScale:
    """One layer's weights.

    Attributes:
        site: The layer.
        sigma_w: √fan · standard deviation of the weights, dimensionless: with the larger of both fans where
            smallness is in question, with the fan of the inputs where size is.
        limit: What it must not be beyond.
        gain: That keeps the second moment of the signal.
    """

    site: str
    sigma_w: float
    limit: float
    gain: float


def small_layers(flow: Flow, fresh: bool = True) -> list[LayerScale]:
    """Layers whose weights are too small for both the signal and the gradient, in execution order.

    Args:
        flow: One measured step.
        fresh: Whether only weights count that look as they were drawn.
    """
    layers = _layers(flow)
    found = [_scale(flow, row, weight, large=False) for row, weight in layers if not fresh or _is_centred(weight)]
    return [layer for layer in found if layer.sigma_w < layer.limit]


def large_layers(flow: Flow) -> list[LayerScale]:
    """Fresh layers whose weights are too large for both the signal and the gradient, in execution order."""
    found = [_scale(flow, row, weight, large=True) for row, weight in _layers(flow) if _is_centred(weight)]
    return [layer for layer in found if layer.sigma_w > layer.limit]


def scales(flow: Flow, every: bool = False) -> list[LayerScale]:
    """How large the weights of each affine layer are for what comes in, in execution order.

    Args:
        flow: One measured step.
        every: Also of layers that a normalisation follows, and of those that share their weights with an embedding.
    """
    return [_scale(flow, row, weight, large=True) for row, weight in _layers(flow, every)]


def table_scales(flow: Flow) -> list[LayerScale]:
    """How large the vectors of each embedding are, next to the N(0, 1) that PyTorch draws them from."""
    tables = {p.name: p for p in flow.parameters if p.trainable and len(p.shape) > 1}
    rows = [(row, tables[name]) for row in flow.sites for name in row.site.parameters if name in tables]
    return [
        LayerScale(row.site.name, size * (table.value.std or 0.0), FACTOR * size, size)
        for row, table in rows
        for size in (math.sqrt(table.shape[-1]),)
        if row.site.kind == "embedding"
    ]


def projections(flow: Flow, row: SiteFlow) -> list[LayerScale]:
    """What an attention that is one operation multiplies its inputs with, where it starts too large."""
    own = [p for p in flow.parameters if p.name in row.site.parameters and len(p.shape) > 1 and p.trainable]
    into = [p for p in own if row.site.kind == "attention" and "out_proj" not in p.name and _is_centred(p)]
    found = [LayerScale(row.site.name, math.sqrt(p.shape[1]) * (p.value.std or 0.0), FACTOR, 1.0) for p in into]
    return [layer for layer in found if layer.sigma_w > layer.limit]


def are_drawn(flow: Flow) -> bool:
    """Whether the weights of all affine layers look as they were drawn."""
    return all(_is_centred(weight) for _, weight in _layers(flow, every=True))


def output_unit(flow: Flow) -> float | None:
    """The size that a network's outputs are to have, ``None`` where the loss does not say.

    Logits mean something from about 1 on; outputs that are held against targets have the targets' size.
    """
    operations = flow.setup.loss_operations
    if any(name.startswith(("NllLoss", "BinaryCrossEntropyWithLogits")) for name in operations):
        return 1.0
    targets = flow.setup.targets
    return max(map(abs, targets)) or None if targets is not None else None


def variation(row: SiteFlow) -> float | None:
    """Standard deviation over samples of a unit's output, over all units; what they differ by has no part in it."""
    spread, units = row.activation.std, row.unit_spread or 0.0
    return None if spread is None else math.sqrt(max(0.0, spread**2 - units**2))


def _scale(flow: Flow, row: SiteFlow, weight: ParameterFlow, large: bool) -> LayerScale:
    gain, others = _gains(_activation_after(flow, row))
    fans = _fans(row, weight)
    fan = fans[0] if large else max(fans)
    limit = FACTOR * max(1.0, gain, others) if large else min(1.0, gain, others) / FACTOR
    return LayerScale(row.site.name, math.sqrt(fan) * (weight.value.std or 0.0), limit, gain)


def _gains(after: SiteFlow | None) -> tuple[float, float]:
    """Those of the signal and of the gradient; 1 where no activation follows, or none that theory knows."""
    if after is None or after.site.activation is None:
        return 1.0, 1.0
    try:
        return gain_forward(after.site.activation), gain_backward(after.site.activation)
    except InputError:
        return 1.0, 1.0


def _fans(row: SiteFlow, weight: ParameterFlow) -> tuple[int, int]:
    """Fan of the inputs and of the outputs; some layers keep their weights the other way round."""
    positions = math.prod(weight.shape[2:])
    fans = weight.shape[1] * positions, weight.shape[0] * positions
    return fans[::-1] if "Transpose" in row.site.op or row.site.op == "Conv1D" else fans


def _layers(flow: Flow, every: bool = False) -> list[tuple[SiteFlow, ParameterFlow]]:
    """Affine layers with weights whose scale no normalisation takes out again, and that no embedding shares; or all."""
    weights = {p.name: p for p in flow.parameters if len(p.shape) > 1 and p.trainable and p.name.endswith("weight")}
    shared = {name for row in flow.sites if row.site.kind == "embedding" for name in row.site.parameters}
    found = []
    for index, row in enumerate(flow.sites):
        own = [weights[name] for name in row.site.parameters if name in weights]
        if row.site.kind != "affine" or len(own) != 1:
            continue
        is_free = not shared & {own[0].name, *own[0].aliases} and not _is_normalised(flow.sites[index + 1 :])
        if every or is_free:
            found.append((row, own[0]))
    return found


def _is_centred(weight: ParameterFlow) -> bool:
    value = weight.value
    spread = value.std or 0.0
    return spread > 0.0 and abs(value.mean or 0.0) < _FAR_MEAN * spread / math.sqrt(value.count)


def _is_normalised(later: tuple[SiteFlow, ...]) -> bool:
    """Whether a normalisation comes before the next affine map."""
    for row in later:
        if row.site.kind in ("normalization", "affine"):
            return row.site.kind == "normalization"
    return False


def _activation_after(flow: Flow, row: SiteFlow) -> SiteFlow | None:
    later = (other for other in flow.sites if other.site.order > row.site.order)
    following = next((other for other in later if other.site.kind in ("affine", "activation")), None)
    return following if following is not None and following.site.kind == "activation" else None
