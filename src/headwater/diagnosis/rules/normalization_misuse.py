"""Batch normalisation over too few values, or with statistics that nobody has gathered.

Of n values the variance is known to a share of √(2/(n - 1)): of two it is anything, and what comes out is ±1 whatever
went in. In eval mode it divides by running statistics, which before any training are 0 and 1.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_misused_normalisation
from headwater.diagnosis.progress import MIN_STEPS, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Severity, SiteFlow
from headwater.records.message import Value

FEW = 4
BEGINNING = 0.5  # of the running statistics
TIMES = 1.5  # the loss of the last third of the steps
STILL_SOURCE = "share of a batch in the running statistics; half of them as they began, and the loss half as much again"
SOURCE = "the variance of n values is known to √(2/(n - 1)) of itself, 82 % at n = 4 (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    few = [row for row in observation.flow.sites if _values(row) is not None and (_values(row) or 0) <= FEW]
    if few:
        worst = min(few, key=lambda row: _values(row) or 0)
        count = _values(worst) or 0
        yield _finding("few_values", few, Evidence("values_per_channel", count, FEW, worst.site.name, SOURCE), count)
    stale = [row for row in observation.flow.sites if _uses_nothing_gathered(row)]
    if stale:
        evidence = Evidence("batches_seen", 0, 1, stale[0].site.name, "batches behind the statistics")
        trained = observation.flow.step > 0 or observation.flow.training is not None
        # A single look may be at a network that is only being looked at.
        yield _finding("never_gathered", stale, evidence, 0, "warning" if trained else "info")

    still = [row for row in observation.flow.sites if row.site.settings.get("momentum") == 0.0]
    slow = [row for row in observation.flow.sites if _hardly_moved(row)] if _fails_in_use(observation.flow) else []
    if still or slow:
        momentum = float((still or slow)[0].site.settings["momentum"])
        evidence = Evidence("momentum", momentum, 0.0, (still or slow)[0].site.name, STILL_SOURCE)
        yield _finding("never_moving", still or slow, evidence, 0)


def _finding(
    kind: str, rows: list[SiteFlow], evidence: Evidence, count: int, severity: Severity = "warning"
) -> Finding:
    values: dict[str, Value] = {"site": rows[0].site.name, "count": count, "layers": len(rows)}
    return Finding(
        symptom="normalization_misuse",
        severity=severity,
        sites=tuple(row.site.name for row in rows),
        evidence=(evidence,),
        causes=(Cause("normalization_misuse", None, Message(f"cause.normalization_misuse.{kind}", values)),),
        prescriptions=for_misused_normalisation(kind),
        message=Message(f"finding.normalization_{kind}", values),
    )


def _values(row: SiteFlow) -> int | None:
    """Values behind each channel's statistics, ``None`` where none are taken."""
    if "batches_seen" not in row.site.settings or not row.site.settings["training"]:
        return None
    shape = row.site.shape
    return math.prod(shape) // shape[1] if len(shape) > 1 and shape[1] else None


def _hardly_moved(row: SiteFlow) -> bool:
    """Whether the running statistics are mostly what they began with: (1 - momentum)ⁿ after n batches."""
    momentum = float(row.site.settings.get("momentum", -1.0))
    seen = float(row.site.settings.get("batches_seen", 0.0))
    return 0.0 < momentum < 1.0 and seen >= MIN_STEPS and (1.0 - momentum) ** seen > BEGINNING


def _fails_in_use(flow: Flow) -> bool:
    """Whether the same data are told far worse in eval mode than while training."""
    course, scores = progress(flow), flow.training.scores if flow.training is not None else ()
    loss = scores[-1].loss if scores else None
    return course is not None and loss is not None and course.last > 0 and loss > TIMES * course.last


def _uses_nothing_gathered(row: SiteFlow) -> bool:
    settings = row.site.settings
    return settings.get("batches_seen") == 0.0 and not settings["training"]


RULE = Rule("normalization_misuse", _look)
