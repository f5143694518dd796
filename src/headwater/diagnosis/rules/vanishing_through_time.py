"""Nothing of the loss reaches the early steps of a sequence through a recurrent layer.

A cell that a loop of one's own steps through is told by its layers being called once for each time step: their weights
get the gradient of all calls together, and what is lost on the way to the first is the memory, not the layer.

Whether that harms depends on whether the answer lies there, which a gradient cannot say. So it is noted, and a warning
only where the training gets nowhere or the dtype has lost the gradient altogether.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from headwater.diagnosis.prescribing import for_gradient_scale
from headwater.diagnosis.prescribing_training import attach_graph, for_time
from headwater.diagnosis.progress import Progress, chance_loss, progress, takes_short_steps
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.waterfall import power
from headwater.records import Cause, Evidence, Finding, Flow, Message, SiteFlow
from headwater.records.message import Value

DECADES = -3.0
MIN_TIME_STEPS = 8
BEYOND = 0.02  # of a loss by chance: what is learnt is more than that, and the noise of a batch is less
BEGUN = 0.1  # of a loop's calls: fewer may be a state that is begun outside the graph
MIN_CALLS = 3  # of a cell: two may be an encoder's and a decoder's
CUT_SOURCE = "time steps that a gradient arrives at, of those that the cell was called for"
SOURCE = "a thousandth of the gradient, as for depth (docs/thresholds.md; Pascanu et al. 2013, arXiv:1211.5063)"


def _look(observation: Observation) -> Iterable[Finding]:
    course = progress(observation.flow)
    stuck = course is not None and (not course.learns or _is_chance(observation.flow, course))
    stuck = stuck and not takes_short_steps(observation.flow)
    yield from map(_cut, cut_states(observation.flow))
    yield from (_cut_in_part(rows, stuck) for rows in unrolled(observation.flow) if _begins_later(rows))
    worst = min(ways_through_time(observation.flow), key=lambda way: way[1], default=None)
    if worst is None or worst[1] > DECADES:
        return
    row, decades, steps = worst
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
        prescriptions=for_time(row, steps) if row.site.kind == "recurrent" else for_gradient_scale(observation.flow),
        message=Message("finding.vanishing_through_time", values),
    )


def _is_chance(flow: Flow, course: Progress) -> bool:
    """Whether the loss has come no further than that of one who knows how frequent the classes are."""
    chance = chance_loss(flow)
    return chance is not None and course.last > (1 - BEYOND) * chance


def unrolled(flow: Flow) -> list[list[SiteFlow]]:
    """The calls of each affine layer or recurrent cell that a loop steps through, in their order."""
    calls: dict[str, list[SiteFlow]] = defaultdict(list)
    for row in flow.sites:
        if row.site.kind in ("affine", "recurrent") and row.site.parameters and not row.time_gradients:
            calls[row.site.module].append(row)
    return [rows for rows in calls.values() if len(rows) >= MIN_TIME_STEPS]


def _begins_later(rows: list[SiteFlow]) -> bool:
    """Whether a gradient arrives at the later calls alone, and not at a tenth or more of the first."""
    cut = _cut_calls(rows)
    return BEGUN * len(rows) <= cut < len(rows) and all(row.activation_grad is not None for row in rows[cut:])


def _cut_calls(rows: list[SiteFlow]) -> int:
    return next((place for place, row in enumerate(rows) if row.activation_grad is not None), len(rows))


def _cut_in_part(rows: list[SiteFlow], stuck: bool) -> Finding:
    """A warning where the training gets nowhere: to cut what came before is a known trick.

    So do truncated backpropagation (Williams and Peng 1990) and the last step to a fixed point (Fung et al. 2022).
    """
    cut = _cut_calls(rows)
    values: dict[str, Value] = {"site": rows[0].site.module, "steps": len(rows), "cut": cut}
    return Finding(
        symptom="vanishing_through_time",
        severity="warning" if stuck else "info",
        sites=(rows[0].site.module,),
        evidence=(Evidence("time_steps", len(rows) - cut, len(rows), rows[0].site.module, CUT_SOURCE),),
        causes=(Cause("detached_graph", None, Message("cause.detached_graph.state_part", values)),),
        prescriptions=(attach_graph(),),
        message=Message("finding.vanishing_through_time_part", values),
    )


def is_through_time(flow: Flow) -> bool:
    """Whether the first layer on the gradient's way is a cell's, and one of its later calls gets a gradient."""
    if flow.path is None:
        return False
    first, last = flow.site(flow.path.first).site.module, flow.site(flow.path.last).activation_grad
    own = next((rows for rows in unrolled(flow) if rows[0].site.module == first), [])
    norms = [row.activation_grad.norm for row in own if row.activation_grad is not None]
    largest = max((norm for norm in norms if norm is not None and math.isfinite(norm)), default=0.0)
    return last is not None and bool(last.norm) and largest > 10.0**DECADES * (last.norm or 0.0)


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
    for rows in unrolled(flow):
        reached = [(row, row.activation_grad.rms) for row in rows if row.activation_grad is not None]
        values = [rms for _, rms in reached if rms is not None and math.isfinite(rms)]
        largest = max(values, default=0.0)
        if len(values) >= MIN_TIME_STEPS and largest > 0:
            yield reached[0][0], math.log10(values[0] / largest) if values[0] > 0 else -400.0, len(values)


RULE = Rule("vanishing_through_time", _look)
