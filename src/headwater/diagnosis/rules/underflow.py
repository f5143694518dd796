"""The gradient has become too small for its dtype: exactly zero, or subnormal with its last bits going.

Tiny but there is `vanishing`; gone is this. A gradient that is zero because something switched it off (a dead layer,
a branch that starts at zero) is not: there the gradient just before is of ordinary size.
"""

import math
from collections.abc import Iterable

import numpy as np

from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow

TINY = {"float64": float(np.finfo(np.float64).tiny), "float32": float(np.finfo(np.float32).tiny)}
TINY |= {"bfloat16": TINY["float32"], "float16": float(np.finfo(np.float16).tiny)}
NEAR_TINY = 1e3  # no operation of a network that trains takes more than three decades at once
SUBNORMAL_SHARE = 0.5  # of the non-zero entries
SOURCE = "smallest normal number of the dtype (IEEE 754)"


def _look(observation: Observation) -> Iterable[Finding]:
    lost = lost_sites(observation.flow)
    if not lost or _spoiled(observation.flow):
        return
    worst = lost[-1]
    zero = [row.site.name for row in lost if _all_zero(row)]
    yield Finding(
        symptom="underflow",
        severity="critical" if zero else "warning",
        sites=tuple(row.site.name for row in lost),
        evidence=(
            Evidence(
                "abs_max",
                worst.activation_grad.abs_max if worst.activation_grad else None,
                TINY.get(worst.site.dtype),
                worst.site.name,
                SOURCE,
            ),
            Evidence("layers", len(lost)),
        ),
        causes=(
            Cause(
                "numeric_underflow",
                None,
                Message("cause.numeric_underflow.why", {"dtype": worst.site.dtype, "tiny": TINY[worst.site.dtype]}),
            ),
        ),
        prescriptions=for_gradient_scale(observation.flow),
        message=Message("finding.underflow", {"site": worst.site.name, "dtype": worst.site.dtype, "sites": len(lost)}),
    )


def lost_sites(flow: Flow) -> list[SiteFlow]:
    """The sites whose gradient the dtype could not hold, in execution order."""
    rows = [row for row in flow.sites if row.activation_grad is not None and row.activation_grad.count]
    found: list[SiteFlow] = []
    nearest = _log10_loss(flow)  # or of the last site, seen from the loss, that still had a gradient
    for row in reversed([row for row in rows if row.site.dtype in TINY]):
        if not _all_zero(row):
            nearest = _log10_max(row)
            if _subnormal_share(row) >= SUBNORMAL_SHARE:
                found.append(row)
        elif nearest is not None and nearest < math.log10(TINY[row.site.dtype] * NEAR_TINY):
            found.append(row)
    return found[::-1]


def _log10_loss(flow: Flow) -> float | None:
    """What a gradient is made of where none is left: a loss that is nearly zero itself."""
    return math.log10(abs(flow.loss)) if flow.loss and math.isfinite(flow.loss) else None


def _subnormal_share(row: SiteFlow) -> float:
    gradient = row.activation_grad
    nonzero = gradient.finite_count - gradient.zero_count if gradient else 0
    if gradient is None or not nonzero or gradient.norm is None:
        return 0.0
    # What rounding takes from a subnormal number is nothing beside others that are not small.
    small = gradient.norm < math.sqrt(nonzero) * TINY[row.site.dtype]
    return gradient.subnormal_count / nonzero if small else 0.0


def _spoiled(flow: Flow) -> bool:
    """Whether NaN or Inf is about: the zeros beside it are what masking made of it, not lost digits."""
    measured = [m for row in flow.sites for m in (row.activation, row.activation_grad) if m is not None]
    return any(moments.nonfinite_count for moments in measured)


def _all_zero(row: SiteFlow) -> bool:
    return row.activation_grad is not None and row.activation_grad.zero_count == row.activation_grad.count


def _log10_max(row: SiteFlow) -> float:
    peak = row.activation_grad.abs_max if row.activation_grad else None
    return math.log10(peak) if peak else -math.inf


RULE = Rule("underflow", _look)
