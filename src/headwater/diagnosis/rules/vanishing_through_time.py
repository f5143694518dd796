"""Nothing of the loss reaches the early steps of a sequence through a recurrent layer.

Whether that harms depends on whether the answer lies there, which a gradient cannot say. So it is noted, and a warning
only where the training gets nowhere or the dtype has lost the gradient altogether.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_time
from headwater.diagnosis.progress import progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.waterfall import power
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

DECADES = -3.0
MIN_TIME_STEPS = 8
SOURCE = "a thousandth of the gradient, as for depth (docs/thresholds.md; Pascanu et al. 2013, arXiv:1211.5063)"


def _look(observation: Observation) -> Iterable[Finding]:
    worst = min(ways_through_time(observation.flow), key=lambda way: way[1], default=None)
    if worst is None or worst[1] > DECADES:
        return
    row, decades, steps = worst
    course = progress(observation.flow)
    stuck = course is not None and not course.learns
    values: dict[str, Value] = {
        "site": row.site.name,
        "decades": abs(decades),
        "steps": steps,
        "factor": power(decades / steps),
    }
    yield Finding(
        symptom="vanishing_through_time",
        severity="warning" if stuck else "info",
        sites=(row.site.name,),
        evidence=(
            Evidence("time_decades", decades, DECADES, row.site.name, SOURCE),
            Evidence("time_steps", steps, site=row.site.name),
        ),
        causes=(Cause("recurrent_weights", None, Message("cause.recurrent_weights.why", values)),),
        prescriptions=for_time(row, steps),
        message=Message("finding.vanishing_through_time", values),
    )


def ways_through_time(flow: Flow) -> Iterable[tuple[SiteFlow, float, int]]:
    """For each recurrent layer: log₁₀ of the gradient at its first time step over the largest, and over how many."""
    for row in flow.sites:
        for time in row.time_gradients:
            known = [rms for rms in (reversed(time.rms) if time.reverse else time.rms) if rms is not None]
            largest = max((rms for rms in known if math.isfinite(rms)), default=0.0)
            if len(known) >= MIN_TIME_STEPS and largest > 0 and math.isfinite(known[0]):
                yield row, math.log10(known[0] / largest) if known[0] > 0 else -400.0, len(known)


RULE = Rule("vanishing_through_time", _look)
