"""One file per symptom that only several ranks reveal; this list is the order in which they are looked for."""

from dataclasses import replace

from headwater.diagnosis.ranks import (
    batchnorm_per_rank,
    not_synchronised,
    rank_data,
    rank_models,
    same_data,
    uneven_steps,
)
from headwater.diagnosis.ranks.observation import RankRule, Ranks
from headwater.records import Diagnosis

RANK_RULES: tuple[RankRule, ...] = (
    rank_models.RULE,
    not_synchronised.RULE,
    uneven_steps.RULE,
    same_data.RULE,
    rank_data.RULE,
    batchnorm_per_rank.RULE,
)

_WORST_FIRST = ("critical", "warning", "info")


def with_ranks(diagnosis: Diagnosis, ranks: Ranks, step: int) -> Diagnosis:
    """The diagnosis with what only the ranks side by side show, worst first.

    Args:
        diagnosis: Of all ranks together.
        ranks: Side by side.
        step: Optimizer steps taken before they were looked at.
    """
    found = [replace(finding, step=step) for rule in RANK_RULES for finding in rule.look(ranks)]
    findings = sorted([*found, *diagnosis.findings], key=lambda finding: _WORST_FIRST.index(finding.severity))
    is_wrong = any(finding.severity != "info" for finding in found)
    return replace(
        diagnosis,
        verdict="findings" if is_wrong else diagnosis.verdict,
        findings=tuple(findings),
        checked=(*diagnosis.checked, *(rule.symptom for rule in RANK_RULES)),
    )


__all__ = ["RANK_RULES", "RankRule", "Ranks", "with_ranks"]
