"""Ranks that train different models: gradients of different layers would be averaged, or none at all.

Stages of a pipeline have no layer in common, and are no such ranks.
"""

from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks
from headwater.records import Cause, Finding, Message
from headwater.records.message import Value


def _look(ranks: Ranks) -> Iterable[Finding]:
    if ranks.differing is None:
        return
    first, second, name = ranks.differing
    values: dict[str, Value] = {"first": first, "second": second, "name": name}
    yield Finding(
        symptom="rank_models",
        severity="critical",
        sites=(name,) if name in ranks.site_names else (),
        evidence=(),
        causes=(Cause("different_models", None, Message("cause.different_models.built", values)),),
        prescriptions=(
            advice(
                "same_model",
                "# model = build(config)   from the same arguments on every rank, and the same versions installed",
            ),
        ),
        message=Message("finding.rank_models", values),
    )


RULE = RankRule("rank_models", _look)
