"""What a finding about a vanishing or an exploding gradient says; the two rules differ in when they say it."""

from dataclasses import dataclass

from headwater.diagnosis.attribution import causes_of_decades
from headwater.diagnosis.decay import DECAYING, decay_share, weight_decay_high
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.waterfall import affine_layers, power
from headwater.diagnosis.weight_scale import large_layers
from headwater.records import Cause, Evidence, Finding, Flow, Message, Path, Severity, Waterfall
from headwater.records.message import Value


@dataclass(frozen=True)
class Limit:
    """A bound on the decades of ‖∂loss/∂z‖ between the last site and the first.

    Attributes:
        severity: How bad it is to be beyond.
        decades: log₁₀ of first over last; negative for a loss.
        source: Where the bound comes from.
    """

    severity: Severity
    decades: float
    source: str


def scale_finding(
    symptom: str, flow: Flow, path: Path, budget: Waterfall, norm_decades: float, limit: Limit
) -> Finding:
    """The finding that the gradient has changed by ``norm_decades``, which is beyond ``limit``."""
    layers = affine_layers(path)
    per_layer = budget.decades / max(1, layers)
    return Finding(
        symptom=symptom,
        severity=limit.severity,
        sites=_first_layers(flow, path),
        evidence=(
            Evidence("first_layer_grad_rms", power(budget.log10_first), site=budget.first),
            Evidence("first_layer_grad_norm", _first_norm(flow, budget), site=budget.first),
            Evidence("decades", budget.decades),
            Evidence("norm_ratio", power(norm_decades), power(limit.decades), source=limit.source),
            Evidence("decades_per_layer", per_layer),
            Evidence("layers", layers),
        ),
        causes=_causes(flow, budget),
        prescriptions=for_gradient_scale(flow),
        message=Message(f"finding.{symptom}", _values(flow, budget, per_layer)),
    )


def _first_layers(flow: Flow, path: Path) -> tuple[str, ...]:
    """The first site, and the first affine one with it where that is another: an embedding is no layer of the depth."""
    on_path = [path.first, *(step.site for step in reversed(path.steps) if step.site is not None)]
    affine = [name for name in on_path if flow.site(name).site.kind == "affine"]
    return tuple(dict.fromkeys((path.first, *affine[:1])))


def _causes(flow: Flow, budget: Waterfall) -> tuple[Cause, ...]:
    """Who took the decades; and before them the weight decay, where it is what made the weights so small."""
    causes = causes_of_decades(flow, budget)
    if causes[0].id == "other_operations" and budget.decades > 0:
        causes = _weights_first(flow, causes)
    decay = decay_share(flow) or 0.0
    if decay <= DECAYING or all(cause.id != "weights_too_small" for cause in causes):
        return causes
    return weight_decay_high(flow, decay), *causes


def _weights_first(flow: Flow, causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """Before the products of two signals the weights that made the signals large, where most are too large as drawn.

    What a product hands back to one factor is the gradient times the other factor: that is as large as its weights.
    """
    layers = sum(row.site.kind == "affine" for row in flow.sites)
    if len(large_layers(flow)) <= layers / 2:
        return causes
    return tuple(sorted(causes, key=lambda cause: cause.id != "weights_too_large"))


def _values(flow: Flow, budget: Waterfall, per_layer: float) -> dict[str, Value]:
    return {
        "norm": _first_norm(flow, budget),
        "rms": power(budget.log10_first),
        "site": budget.first,
        "op": flow.site(budget.first).site.op,
        "decades": abs(budget.decades),
        "factor": power(per_layer),
        "last": budget.last,
        "last_op": flow.site(budget.last).site.op,
    }


def _first_norm(flow: Flow, budget: Waterfall) -> float | None:
    """‖∂loss/∂output‖ at the first site of the path, ℓ₂ over the batch."""
    gradient = flow.site(budget.first).activation_grad
    return gradient.norm if gradient else None
