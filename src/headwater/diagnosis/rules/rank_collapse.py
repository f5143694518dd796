"""Inputs have merged on their way: the last hidden layer hardly tells one from another, whatever the gradients do.

He-initialised rectifiers keep gradients alive at any depth and still lose the input: |cos| tends to 1 (Schoenholz et
al. 2017, arXiv:1611.01232, correlation map). Two numbers together, for each alone has good reasons: outputs of a
sigmoid all point one way, and a trained classifier of two classes ends in one direction.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.decay import hides_size
from headwater.diagnosis.prescribing import before_last_affine, for_collapse
from headwater.diagnosis.progress import progress, takes_short_steps
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Severity, SiteFlow

MERGED_COSINE = 0.99
FEW_DIRECTIONS = 3.0
CRITICAL_COSINE = 0.9999
MIN_LAYERS = 3  # affine ones before it: fewer cannot have merged what was apart
MIN_UNITS = 8
KEPT = 0.5  # of the directions at the first site: then they were few from the start
SOURCE = "with |cos| of 1.000 and one direction nothing trained, below .92 and above 6 all did (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    hidden = _measured(observation.flow)
    if not hidden:
        return
    first, last = hidden[0], hidden[-1]
    if not _is_merged(last) or _were_few(first, last) or _passes_a_narrow_place(observation.flow, last):
        return
    merged = [row for row in hidden if _is_merged(row)]
    layers = sum(row.site.kind == "affine" for row in hidden)
    if layers < MIN_LAYERS:
        return
    yield Finding(
        symptom="rank_collapse",
        severity=_severity(observation.flow, last),
        sites=tuple(row.site.name for row in merged),
        evidence=(
            Evidence("abs_cosine", last.abs_cosine, MERGED_COSINE, last.site.name, SOURCE),
            Evidence("effective_rank", last.effective_rank, FEW_DIRECTIONS, last.site.name, SOURCE),
            Evidence("abs_cosine", first.abs_cosine, site=first.site.name),
            Evidence("layers", layers),
        ),
        causes=(_cause(layers),),
        prescriptions=for_collapse(observation.flow),
        message=Message(
            "finding.rank_collapse",
            {"site": last.site.name, "cosine": last.abs_cosine, "rank": last.effective_rank, "layers": layers},
        ),
    )


def _severity(flow: Flow, last: SiteFlow) -> Severity:
    """Only noted where the training gets somewhere all the same: an autoencoder learns the mean of its data first.

    Nor does it say much where steps are short by the rate alone: those of Adam are as long whatever the gradient.
    """
    course = progress(flow)
    if course is not None and (course.learns or (takes_short_steps(flow) and hides_size(flow))):
        return "info"
    return "critical" if (last.abs_cosine or 0.0) >= CRITICAL_COSINE else "warning"


def _cause(layers: int) -> Cause:
    return Cause("depth_without_shortcut", None, Message("cause.depth_without_shortcut.why", {"layers": layers}))


def _measured(flow: Flow) -> list[SiteFlow]:
    """Hidden sites whose samples were compared, in execution order."""
    return [
        row
        for row in before_last_affine(flow)
        if row.abs_cosine is not None
        and row.effective_rank is not None
        and math.prod(row.site.shape[1:]) >= MIN_UNITS
        and row.activation.nonfinite_count == 0
    ]


def _is_merged(row: SiteFlow) -> bool:
    return (row.abs_cosine or 0.0) > MERGED_COSINE and (row.effective_rank or 0.0) < FEW_DIRECTIONS


def _passes_a_narrow_place(flow: Flow, last: SiteFlow) -> bool:
    """Whether the signal is of a few numbers somewhere before: then it has few directions by design."""
    before = [row for row in flow.sites if row.site.order <= last.site.order and row.site.kind != "join"]
    sizes = [math.prod(row.site.shape[1:]) for row in before if len(row.site.shape) > 1]
    return min(sizes, default=MIN_UNITS) < MIN_UNITS


def _were_few(first: SiteFlow, last: SiteFlow) -> bool:
    """Whether the inputs were as much alike from the start."""
    kept_directions = (last.effective_rank or 0.0) > KEPT * (first.effective_rank or 0.0)
    return kept_directions or (first.abs_cosine or 0.0) > MERGED_COSINE


def _blocked(observation: Observation) -> Message | None:
    return None if _measured(observation.flow) else Message("unchecked.no_pairs")


RULE = Rule("rank_collapse", _look, _blocked)
