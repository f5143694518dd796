"""Inputs far from the scale that initialisations are made for: mean 0 and variance 1.

An input ten times as large makes the first layer's gradient and what goes into its activation ten times as large. What
counts is what arrives at a layer with weights: a model may scale its input itself, and take a time of 0 to 1,000 beside
it as sines or as it is. A normalisation that comes first takes the scale out again.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from headwater.diagnosis.prescribing_training import for_unscaled_input
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Moments, SiteFlow
from headwater.records.message import Value

LARGE = 10.0
SMALL = 1e-2
DECADES = 2.0  # between features
UNEVEN_RMS = 3.0  # where features differ: small ones beside others of 1 are rare, not unscaled
FAR = 300.0  # decades beyond which a factor is no number any more
SOURCE = "initialisations take inputs of variance 1 (LeCun et al. 1998, Efficient BackProp, 4.3; docs/thresholds.md)"


@dataclass(frozen=True)
class _Given:
    """Data on their way into a network.

    Attributes:
        site: The first that sees them.
        moments: Theirs.
        decades: Between their features, where that was measured.
        small: Whether it matters that they are small: beside other data they only count for less.
    """

    site: str
    moments: Moments
    decades: float = 0.0
    small: bool = True

    @property
    def rms(self) -> float:
        return self.moments.rms or 0.0

    @property
    def is_uneven(self) -> bool:
        return self.decades > DECADES and self.rms > UNEVEN_RMS

    @property
    def is_unscaled(self) -> bool:
        return self.rms > LARGE or (self.small and 0 < self.rms < SMALL) or self.is_uneven


def _look(observation: Observation) -> Iterable[Finding]:
    found = [given for given in _all_given(observation.flow) if given.is_unscaled]
    if not found:
        return
    worst = max(found, key=lambda given: abs(math.log10(given.rms)))
    factor = 10**worst.decades if worst.decades < FAR else math.inf
    values: dict[str, Value] = {
        "site": worst.site,
        "rms": worst.rms,
        "decades": worst.decades,
        "largest": worst.moments.abs_max,
        "factor": factor,
    }
    yield Finding(
        symptom="unscaled_input",
        severity="warning",
        sites=tuple(dict.fromkeys(given.site for given in (worst, *found))),
        evidence=(
            Evidence("input_rms", worst.rms, LARGE if worst.rms > 1 else SMALL, worst.site, SOURCE),
            Evidence("feature_decades", worst.decades or None, DECADES, worst.site, SOURCE),
            Evidence("input_abs_max", worst.moments.abs_max, site=worst.site),
        ),
        causes=(Cause("data_scale", None, Message("cause.data_scale.unscaled", values)),),
        prescriptions=for_unscaled_input(),
        message=Message("finding.unscaled_features" if worst.is_uneven else "finding.unscaled_input", values),
    )


def _all_given(flow: Flow) -> Iterable[_Given]:
    """What the model is called with, as it arrives at layers with weights; if it arrives at none, as it is."""
    own, decades = flow.setup.input, flow.setup.feature_decades or 0.0
    if own is None and not flow.setup.operations:
        return  # measured lightly
    entrances = _entrances(flow)
    if own is not None and not _normalises_first(flow) and all(data.count != own.count for _, data in entrances):
        yield _Given(flow.sites[0].site.name, own, decades)
    for row, data in entrances:
        is_own = own is not None and data.count == own.count
        is_untouched = is_own and own is not None and data.rms == own.rms
        following = flow.sites[row.site.order + 1 : row.site.order + 2]
        if all(after.site.kind != "normalization" for after in following):
            yield _Given(row.site.name, data, decades if is_untouched else 0.0, is_own)


def _entrances(flow: Flow) -> list[tuple[SiteFlow, Moments]]:
    """Layers with weights whose input needs no gradient, and is not what another site has made.

    Behind weights that get no gradient, as those of a frozen part, it may be what that part has made.
    """
    found: list[tuple[SiteFlow, Moments]] = []
    made: set[tuple[int, float | None]] = set()
    for row in flow.sites:
        data = row.input if row.input_grad is None else None
        enters = row.site.kind in ("affine", "recurrent") and data is not None
        if data is not None and enters and (data.count, data.rms) not in made:
            found.append((row, data))
        if row.site.parameters and row.activation_grad is None:
            break
        made.add((row.activation.count, row.activation.rms))
    return found


def _normalises_first(flow: Flow) -> bool:
    """Whether a normalisation comes before or right after the first affine map."""
    kinds = [row.site.kind for row in flow.sites[:2]]
    return "normalization" in kinds


RULE = Rule("unscaled_input", _look)
