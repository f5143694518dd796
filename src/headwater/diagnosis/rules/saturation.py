"""S-shaped activations driven into their flat ends, where the derivative is next to nothing.

Counted on the gradient's path: a gate beside it may be open or closed for good reason, and counts where it is so for
every sample and cannot be moved. Of the gates inside a GRU or LSTM many may be, so that more than half of all are
needed there. A training makes its units sure of themselves as it learns: where it has, this is noted. What follows
the last affine map is the output's own, unless trained weights come after it: a classifier that is sure of itself
saturates its head.
"""

from collections.abc import Iterable

from headwater.diagnosis.attribution import SATURATED_SHARE, is_s_shaped
from headwater.diagnosis.gates import flat_share
from headwater.diagnosis.prescribing import before_last_affine, for_saturation
from headwater.diagnosis.progress import is_half_way
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.records import Cause, Evidence, Finding, Flow, Message, Severity, SiteFlow

CRITICAL_SHARE = 0.9
PRODUCTS = frozenset({"Mm", "Bmm", "Addmm", "Baddbmm", "Addbmm", "Mv", "Addmv"})
NO_WAY_BACK = 1e-3  # of the gradient, as for depth; a highway's gate begins at 0.05 (Srivastava et al. 2015)
SOURCE = "half of the values no longer learn (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    on_path = {step.site for step in flow.path.steps} if flow.path else set()
    if flow.path:
        on_path.add(flow.path.first)
    hidden = flow.sites if _is_weighed_after(flow) else before_last_affine(flow)
    shares = {row.site.name: _share(row, flow) for row in hidden if row.site.name in on_path or _is_shut(row)}
    saturated = [flow.site(name) for name, share in shares.items() if share > SATURATED_SHARE]
    if not saturated:
        return
    worst = max(saturated, key=lambda row: shares[row.site.name])
    share = shares[worst.site.name]
    yield Finding(
        symptom="saturation",
        severity=_severity(share, flow),
        sites=tuple(row.site.name for row in saturated),
        evidence=(
            Evidence("saturated_fraction", share, SATURATED_SHARE, worst.site.name, SOURCE),
            Evidence("derivative_rms", worst.derivative_rms, site=worst.site.name),
        ),
        causes=(_cause(worst),),
        prescriptions=for_saturation(flow),
        message=Message(
            "finding.saturation",
            {"site": worst.site.name, "op": worst.site.op, "percent": 100 * share, "layers": len(saturated)},
        ),
    )


def _is_weighed_after(flow: Flow) -> bool:
    """Whether trained weights that belong to no layer are multiplied with what the last site gives: it is hidden then.

    So the leaves of soft trees are, which sigmoids lead to (Popov et al. 2020, arXiv:1909.06312).
    """
    owned = {name for row in flow.sites for name in row.site.parameters}
    free = [p for p in flow.parameters if p.trainable and p.grad is not None and owned.isdisjoint((p.name, *p.aliases))]
    return any(len(p.shape) > 1 for p in free) and not PRODUCTS.isdisjoint(flow.setup.loss_operations)


def _severity(share: float, flow: Flow) -> Severity:
    """Only noted where the tenth or more that still moves has brought the training half of the way."""
    if share >= CRITICAL_SHARE:
        return "critical"
    return "info" if flow.training is not None and is_half_way(flow.training) else "warning"


def _share(row: SiteFlow, flow: Flow) -> float:
    """Share of its values in the flat ends, as counted; of gates that nobody sees, as told from what goes into them."""
    if not is_s_shaped(row.site.activation) and row.site.kind != "recurrent":
        return 0.0
    return row.saturated_fraction or flat_share(row, flow) or 0.0


def _is_shut(row: SiteFlow) -> bool:
    """Whether a gate beside the path is where it is for every sample, and no gradient to speak of can move it."""
    return (
        is_s_shaped(row.site.activation)
        and row.saturated_fraction == 1.0
        and row.derivative_rms is not None
        and row.derivative_rms < NO_WAY_BACK
    )


def _cause(row: SiteFlow) -> Cause:
    rms = row.input.rms if row.input else None
    if _is_shut(row):
        return Cause("saturated_activation", None, Message("cause.saturated_activation.shut", {"rms": rms}))
    return Cause("weights_too_large", None, Message("cause.weights_too_large.saturating", {"rms": rms}))


RULE = Rule("saturation", _look, needs_path)
