"""What a finding about a vanishing or an exploding gradient says; the two rules differ in when they say it."""

from dataclasses import dataclass

from headwater.diagnosis.attribution import causes_of_decades
from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.waterfall import affine_layers, power
from headwater.records import Evidence, Finding, Flow, Message, Path, Severity, Waterfall
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
        sites=(budget.first,),
        evidence=(
            Evidence("first_layer_grad_rms", power(budget.log10_first), site=budget.first),
            Evidence("first_layer_grad_norm", _first_norm(flow, budget), site=budget.first),
            Evidence("decades", budget.decades),
            Evidence("norm_ratio", power(norm_decades), power(limit.decades), source=limit.source),
            Evidence("decades_per_layer", per_layer),
            Evidence("layers", layers),
        ),
        causes=causes_of_decades(flow, budget),
        prescriptions=for_gradient_scale(flow),
        message=Message(f"finding.{symptom}", _values(flow, budget, per_layer)),
    )


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
