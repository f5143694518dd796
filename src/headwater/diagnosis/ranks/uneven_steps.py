"""Ranks that have taken different numbers of steps, or none: their shares of the data are not equal.

A rank that runs out of batches leaves the others waiting for its gradient; with ``join`` they go on, but the mean
counts the batches of some ranks more often than those of others.
"""

from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks, named
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

SOURCE = "ranks that train together take every step together"


def _look(ranks: Ranks) -> Iterable[Finding]:
    empty = [rank for rank, count in ranks.recorded.items() if not count]
    busy = [rank for rank, count in ranks.recorded.items() if count]
    if empty and busy:
        yield _finding("critical", "no_steps", empty, {"ranks": named(empty), "others": named(busy)}, 0, 1)
        return
    if len(ranks.taken) < 2 or len(ranks.taken) < len(ranks.recorded):
        return
    most, least = max(ranks.taken.values()), min(ranks.taken.values())
    if most == least:
        return
    short = [rank for rank, count in ranks.taken.items() if count == least]
    values: dict[str, Value] = {"ranks": named(short), "least": least, "most": most, "missing": most - least}
    yield _finding("warning", "uneven_steps", short, values, least, most)


def _finding(severity: str, kind: str, short: list[int], values: dict[str, Value], least: int, most: int) -> Finding:
    return Finding(
        symptom="uneven_steps",
        severity="critical" if severity == "critical" else "warning",
        sites=(),
        evidence=(Evidence("steps_taken", least, most, None, SOURCE),),
        causes=(Cause("uneven_data", None, Message(f"cause.uneven_data.{kind}", values)),),
        prescriptions=(
            advice(
                "even_data",
                "# sampler = DistributedSampler(dataset, drop_last=True)   gives every rank as many samples\n"
                "# with model.join(): ...   around the loop, where their numbers cannot be equal",
            ),
        ),
        message=Message(f"finding.{kind}", values),
    )


RULE = RankRule("uneven_steps", _look)
