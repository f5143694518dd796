"""What was tried against what was found, what was proven, and the change to make."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from headwater.records.finding import Finding
from headwater.records.message import Message
from headwater.records.proof import Proof
from headwater.records.run_info import RunInfo

CureVerdict = Literal["proven", "not_proven", "nothing_to_fix"]
Standing = Literal["original", "winner", "dropped", "failed", "not_tried", "in_the_race"]


@dataclass(frozen=True)
class Candidate:
    """One way of repairing that was tried, at its best learning rate.

    Attributes:
        remedies: Applied in this order; none for the original, which is trained beside them.
        standing: ``winner`` was put to the proof; ``failed`` broke off at every rate; ``not_tried`` found no time;
            ``in_the_race`` was still to go on when the search was interrupted.
        rate: Factor on the experiment's own learning rate that did best.
        steps: Of its longest runs: those that were dropped early trained less.
        metric: Mean metric after them; NaN where it broke off.
        failure: Why it broke off, ``""`` where it did not.
    """

    remedies: tuple[str, ...]
    standing: Standing
    rate: float
    steps: int
    metric: float
    failure: str = ""


@dataclass(frozen=True)
class Measure:
    """The number that had failed, on the proof's seeds, before any training.

    Attributes:
        statistic: What it is.
        better: 1 if more is better, -1 if less is.
        before: Of the original, per seed.
        after: Of the repaired, per seed.
    """

    statistic: str
    better: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True)
class Cure:
    """What ``fix`` came to.

    Attributes:
        verdict: ``proven`` if a repair was found and proven; ``not_proven`` if none was, and then nothing is changed;
            ``nothing_to_fix`` if nothing was found to be wrong.
        remedies: The proven change; empty if there is none.
        rate: Factor on the learning rate that belongs to it; 1 if the rate stays.
        patch: The change as Python code; ``""`` if there is none.
        where: Where the code belongs.
        proof: The experiment on the winner, ``None`` if no candidate did better than the original.
        metric: What the metric is.
        metric_before: Mean held-out metric of the original in the proof, ``None`` without one.
        metric_after: The same of the repaired.
        measure: The number that had failed, before and after; ``None`` where the finding has none of its own, or only
            training shows it.
        findings: What was wrong, worst first.
        candidates: What was tried, best first.
        run: Where this came from.
        interrupted: Whether it was stopped by Ctrl-C.
        notes: What else a reader should know.
    """

    SCHEMA: ClassVar[str] = "headwater/cure/1"

    verdict: CureVerdict
    remedies: tuple[str, ...]
    rate: float
    patch: str
    where: Message | None
    proof: Proof | None
    metric: Message
    metric_before: float | None
    metric_after: float | None
    measure: Measure | None
    findings: tuple[Finding, ...]
    candidates: tuple[Candidate, ...]
    run: RunInfo
    interrupted: bool = False
    notes: tuple[Message, ...] = ()
