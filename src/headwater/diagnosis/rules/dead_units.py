"""Units that no sample reaches: output or derivative is zero for all of them, so they cannot learn their way back.

A deep rectifier network at initialisation shows the same sign for every input in each unit once its inputs have merged,
and then half of the units are off for all of them. So a layer counts only where significantly more than half is dead.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing import for_dead_units
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules.lr_too_high import WRECKING_RATIO
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

MERGED_SHARE = 0.5
SIGMAS = 4.0  # of a binomial with p = 1/2 over the layer's units: one healthy layer in 30,000 lies beyond
CRITICAL_SHARE = 0.95
MIN_OBSERVATIONS = 32  # a healthy unit is off for all of n independent samples with probability 2**-n
SOURCE = "half of the units, plus 4 standard deviations of a binomial over the layer's units"


def _look(observation: Observation) -> Iterable[Finding]:
    dead = [row for row in observation.flow.sites if _is_dead(row)]
    if not dead:
        return
    worst = max(dead, key=lambda row: row.dead_fraction or 0.0)
    share = worst.dead_fraction or 0.0
    yield Finding(
        symptom="dead_units",
        severity="critical" if share >= CRITICAL_SHARE else "warning",
        sites=tuple(row.site.name for row in dead),
        evidence=(
            Evidence("dead_fraction", share, threshold(worst.units), worst.site.name, SOURCE),
            Evidence("units", worst.units, site=worst.site.name),
            Evidence("observations", worst.observations, MIN_OBSERVATIONS, worst.site.name),
        ),
        causes=(_cause(observation.flow, worst),),
        prescriptions=for_dead_units(observation.flow),
        message=Message(
            "finding.dead_units",
            {"site": worst.site.name, "percent": 100 * share, "samples": worst.observations, "layers": len(dead)},
        ),
    )


def _cause(flow: Flow, worst: SiteFlow) -> Cause:
    """The step that threw the units where they are, if one was long enough to and it was not so before."""
    ratios = flow.training.update_ratios() if flow.training is not None and flow.step else []
    longest = max((ratio for ratio in ratios if math.isfinite(ratio)), default=0.0)
    if longest > WRECKING_RATIO:
        values: dict[str, Value] = {"ratio": longest, "first": None, "last": None, "optimizer": flow.optimizer or ""}
        return Cause("learning_rate_high", None, Message("cause.learning_rate_high.why", values))
    return Cause("dead_relu", None, Message("cause.dead_relu.why", {"mean": _mean_input(worst)}))


def threshold(units: int) -> float:
    """Dead share above which a layer of so many units is not explained by merged inputs."""
    return min(1.0, MERGED_SHARE + SIGMAS * math.sqrt(0.25 / units)) if units else 1.0


def _is_dead(row: SiteFlow) -> bool:
    if row.dead_fraction is None or row.observations < MIN_OBSERVATIONS:
        return False
    return row.dead_fraction > threshold(row.units) or (row.dead_fraction == 1.0 and row.units > 1)


def _mean_input(row: SiteFlow) -> float | None:
    return row.input.mean if row.input else None


def _blocked(observation: Observation) -> Message | None:
    return None if _observations(observation.flow) >= MIN_OBSERVATIONS else Message("unchecked.few_samples")


def _observations(flow: Flow) -> int:
    counts = [row.observations for row in flow.sites if row.dead_fraction is not None]
    return max(counts) if counts else MIN_OBSERVATIONS


RULE = Rule("dead_units", _look, _blocked)
