"""Numbers have outgrown their dtype, or are one step from it.

Looked for in signals and gradients: an Inf made from finite numbers, or magnitudes from which one multiplication by an
ordinary weight leads to one. Products of two such numbers (a norm, a variance) are infinite already.
"""

import math
from collections.abc import Iterable

import numpy as np

from headwater.diagnosis.prescribing_training import for_overflow
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Message, Moments, SiteFlow

LARGEST = {"float64": float(np.finfo(np.float64).max), "float32": float(np.finfo(np.float32).max)}
LARGEST |= {"bfloat16": 3.3895313892515355e38, "float16": float(np.finfo(np.float16).max)}
# The square root of the largest number: its square, which every norm and variance takes, is infinite. In float16 that
# is 256, an ordinary activation, and norms are taken in float32; there only the last factor of 16 counts.
LIMIT = {name: math.sqrt(largest) if name != "float16" else largest / 16 for name, largest in LARGEST.items()}
SOURCE = "square root of the largest number of the dtype (IEEE 754); a sixteenth of it in float16"


def _look(observation: Observation) -> Iterable[Finding]:
    found = [(kind, row, moments) for kind, row, moments in _measured(observation) if _overflows(row, moments)]
    if not found:
        return
    # Where an Inf was made says more than where the numbers first became dangerous.
    kind, row, moments = next((place for place in found if place[2].inf_count), found[0])
    overflowed = moments.inf_count > 0
    yield Finding(
        symptom="overflow",
        severity="critical" if overflowed else "warning",
        sites=tuple(dict.fromkeys(row.site.name for _, row, _ in found)),
        evidence=(
            Evidence("abs_max", moments.abs_max, LIMIT[row.site.dtype], row.site.name, SOURCE),
            Evidence("inf_count", moments.inf_count, 0, row.site.name, SOURCE),
        ),
        causes=(
            Cause(
                "numeric_overflow",
                None,
                Message("cause.numeric_overflow.why", {"dtype": row.site.dtype, "largest": LARGEST[row.site.dtype]}),
            ),
        ),
        prescriptions=for_overflow(observation.flow),
        message=Message(
            f"finding.overflow_{kind}",
            {"site": row.site.name, "abs_max": math.inf if overflowed else moments.abs_max, "dtype": row.site.dtype},
        ),
    )


def _measured(observation: Observation) -> Iterable[tuple[str, SiteFlow, Moments]]:
    for row in observation.flow.sites:
        yield "activation", row, row.activation
    for row in reversed(observation.flow.sites):
        if row.activation_grad is not None:
            yield "gradient", row, row.activation_grad


def made_infinite(row: SiteFlow, moments: Moments) -> bool:
    """Whether an operation made Inf, and no NaN, of an input that was finite."""
    finite_input = row.input is None or row.input.nonfinite_count == 0
    return moments.inf_count > 0 and moments.nan_count == 0 and finite_input


def _overflows(row: SiteFlow, moments: Moments) -> bool:
    if row.site.dtype not in LIMIT:
        return False
    return made_infinite(row, moments) or (moments.abs_max or 0.0) > LIMIT[row.site.dtype]


RULE = Rule("overflow", _look)
