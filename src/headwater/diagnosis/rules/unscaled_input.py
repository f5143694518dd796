"""Inputs far from the scale that initialisations are made for: mean 0 and variance 1.

An input ten times as large makes the first layer's gradient and what goes into its activation ten times as large. A
normalisation that comes first takes the scale out again.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing import prescription
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message
from headwater.records.message import Value

LARGE = 10.0
SMALL = 1e-2
DECADES = 2.0  # between features
UNEVEN_RMS = 3.0  # where features differ: small ones beside others of 1 are rare, not unscaled
FAR = 300.0  # decades beyond which a factor is no number any more
SOURCE = "initialisations take inputs of variance 1 (LeCun et al. 1998, Efficient BackProp, 4.3; docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    given = flow.setup.input
    if given is None or given.rms is None or _normalises_first(flow):
        return
    decades = flow.setup.feature_decades or 0.0
    uneven = decades > DECADES and given.rms > UNEVEN_RMS
    if not (given.rms > LARGE or 0 < given.rms < SMALL or uneven):
        return
    site = flow.sites[0].site.name
    factor = 10**decades if decades < FAR else math.inf
    values: dict[str, Value] = {
        "site": site,
        "rms": given.rms,
        "decades": decades,
        "largest": given.abs_max,
        "factor": factor,
    }
    yield Finding(
        symptom="unscaled_input",
        severity="warning",
        sites=(site,),
        evidence=(
            Evidence("input_rms", given.rms, LARGE if given.rms > 1 else SMALL, site, SOURCE),
            Evidence("feature_decades", flow.setup.feature_decades, DECADES, site, SOURCE),
            Evidence("input_abs_max", given.abs_max, site=site),
        ),
        causes=(Cause("data_scale", None, Message("cause.data_scale.unscaled", values)),),
        prescriptions=(prescription("normalisation.batch"),),
        message=Message("finding.unscaled_features" if uneven else "finding.unscaled_input", values),
    )


def _normalises_first(flow: Flow) -> bool:
    """Whether a normalisation comes before or right after the first affine map."""
    kinds = [row.site.kind for row in flow.sites[:2]]
    return "normalization" in kinds


RULE = Rule("unscaled_input", _look)
