"""Nothing of the loss reaches the early steps of a sequence through a recurrent layer.

Whether that harms depends on whether the answer lies there, which a gradient cannot say. So it is noted, and a warning
only where the training gets nowhere or the dtype has lost the gradient altogether.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_time
from headwater.diagnosis.progress import progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.waterfall import power
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

DECADES = -3.0
MIN_TIME_STEPS = 8
MIN_CALLS = 3  # of a cell: two may be an encoder's and a decoder's
CUT_SOURCE = "time steps that a gradient arrives at, of those that the cell was called for"
SOURCE = "a thousandth of the gradient, as for depth (docs/thresholds.md; Pascanu et al. 2013, arXiv:1211.5063)"


def _look(observation: Observation) -> Iterable[Finding]:
    yield from map(_cut, cut_states(observation.flow))
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


def cut_states(flow: Flow) -> list[list[SiteFlow]]:
    """The calls of each recurrent cell that a loop steps through, where only the last of them is in the graph."""
    calls: dict[str, list[SiteFlow]] = defaultdict(list)
    for row in flow.sites:
        if row.site.kind == "recurrent" and not row.time_gradients:
            calls[row.site.module].append(row)
    return [rows for rows in calls.values() if len(rows) >= MIN_CALLS and _only_last_is_reached(rows)]


def _only_last_is_reached(rows: list[SiteFlow]) -> bool:
    *earlier, last = rows
    return last.activation_grad is not None and all(row.activation_grad is None for row in earlier)


def _cut(rows: list[SiteFlow]) -> Finding:
    values: dict[str, Value] = {"site": rows[0].site.module, "steps": len(rows)}
    return Finding(
        symptom="vanishing_through_time",
        severity="warning",
        sites=(rows[0].site.module,),
        evidence=(Evidence("time_steps", 1, len(rows), rows[0].site.module, CUT_SOURCE),),
        causes=(Cause("detached_graph", None, Message("cause.detached_graph.state", values)),),
        prescriptions=(),
        message=Message("finding.vanishing_through_time_cut", values),
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
