"""Dropout that leaves next to nothing: the noise it makes is many times the signal.

What is kept is scaled by 1/(1 - p), so that the variance it adds is p/(1 - p) times the mean square: as much as the
signal at p = 1/2, four times as much at 0.8.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_dropout
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

WARNING_P = 0.8
CRITICAL_P = 0.9
SCALED_UP = 0.5  # of 1/√(1 - p), the gain in rms of what is kept and scaled by 1/(1 - p)
SOURCE = "noise of p/(1 - p) = 4 times the signal; 0.2 to 0.5 are usual (Srivastava et al. 2014, JMLR 15, A.4)"


def _look(observation: Observation) -> Iterable[Finding]:
    high = [row for row in dropouts(observation.flow) if share_dropped(row) >= WARNING_P]
    if not high:
        return
    worst = max(high, key=share_dropped)
    share = share_dropped(worst)
    values: dict[str, Value] = {"site": worst.site.name, "percent": 100 * share, "layers": len(high)}
    yield Finding(
        symptom="dropout_too_high",
        severity="critical" if share >= CRITICAL_P and len(high) > 1 else "warning",
        sites=tuple(row.site.name for row in high),
        evidence=(Evidence("dropout_share", share, WARNING_P, worst.site.name, SOURCE),),
        causes=(dropout_high(share),),
        prescriptions=for_dropout(),
        message=Message("finding.dropout_too_high", values),
    )


def dropouts(flow: Flow) -> list[SiteFlow]:
    """The sites of dropout that is on."""
    return [row for row in flow.sites if share_dropped(row) > 0.0]


def share_dropped(row: SiteFlow) -> float:
    """What a dropout that is on drops, also one of the user's own; 0 for all else."""
    settings = row.site.settings
    return float(settings.get("p", 0.0)) if settings.get("training") else _seen_to_drop(row)


def _seen_to_drop(row: SiteFlow) -> float:
    """What a module without weights sets to zero while it scales up what it keeps, as dropping does and nothing else.

    Whole samples may be dropped (stochastic depth, Huang et al. 2016), so a share is known to a sample.
    """
    before, after = row.input, row.activation
    if row.site.kind != "other" or row.site.parameters or before is None or before.count != after.count:
        return 0.0
    dropped = (after.zero_fraction or 0.0) - (before.zero_fraction or 0.0)
    kept = 1.0 - dropped
    return dropped if 0 < kept < 1 and (row.forward_gain or 0.0) > SCALED_UP / math.sqrt(kept) else 0.0


def dropout_high(share: float) -> Cause:
    """The cause that so much is dropped."""
    return Cause("dropout_high", None, Message("cause.dropout_high.why", {"noise": _noise(share)}))


def _noise(share: float) -> float:
    """Variance of the noise over the mean square of the signal."""
    return share / (1.0 - share) if share < 1.0 else math.inf


RULE = Rule("dropout_too_high", _look)
