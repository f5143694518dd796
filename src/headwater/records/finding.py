"""What is wrong, why, and what to do about it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from headwater.records.intervention import Intervention
from headwater.records.message import Message

Severity = Literal["critical", "warning", "info"]
Verdict = Literal["healthy", "findings", "cannot_tell"]


@dataclass(frozen=True)
class Evidence:
    """One measured number behind a finding.

    Attributes:
        statistic: Its name, as in the flow's table or the glossary of statistics.
        value: What was measured.
        threshold: What it was held against, ``None`` for a number that only describes.
        site: Where, ``None`` for a number of the whole network.
        source: Where the threshold comes from.
    """

    statistic: str
    value: float | int | str | None
    threshold: float | None = None
    site: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a symptom is there.

    Attributes:
        id: Such as ``activation_derivative``.
        share: Its part of the decades lost or gained, so that a finding's shares sum to 1; negative where it works
            against the symptom. ``None`` where the finding is not about decades.
        why: The reason in words.
    """

    id: str
    share: float | None
    why: Message


@dataclass(frozen=True)
class Prescription:
    """A change worth trying.

    Attributes:
        remedies: Remedy ids, applied in this order.
        why: What it does about the cause.
        wrong_when: When it would be the wrong thing to do.
        cost: What it costs at run time.
        code: The change as Python code, ``""`` where no model was at hand to write it for.
    """

    remedies: tuple[str, ...]
    why: Message
    wrong_when: Message
    cost: Message
    code: str = ""


@dataclass(frozen=True)
class Consequence:
    """A symptom that another finding explains.

    Attributes:
        symptom: Such as ``not_updating``.
        severity: How bad it would be on its own.
        sites: Where, in execution order.
        message: What it is in one sentence.
    """

    symptom: str
    severity: Severity
    sites: tuple[str, ...]
    message: Message


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        symptom: Such as ``vanishing``.
        severity: ``critical``, ``warning`` or ``info``.
        sites: Where, in execution order.
        evidence: The numbers behind it.
        causes: Most important first.
        prescriptions: Best first.
        message: The finding in one sentence.
        consequences: Symptoms that go away with this one.
        step: Optimizer steps taken before it was seen.
        interventions: What became of it when one thing was changed; the first names the cause if it restores.
    """

    symptom: str
    severity: Severity
    sites: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    causes: tuple[Cause, ...]
    prescriptions: tuple[Prescription, ...]
    message: Message
    consequences: tuple[Consequence, ...] = ()
    step: int = 0
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True)
class WaterfallBar:
    """Decades one operation took from the gradient (negative) or added to it.

    Attributes:
        site: Site it belongs to, ``None`` for an operation between sites.
        op: The operation.
        category: What the decades are charged to.
        decades: log₁₀ of the gradient's rms after over before.
    """

    site: str | None
    op: str
    category: str
    decades: float


@dataclass(frozen=True)
class Waterfall:
    """The chain rule read as a budget: decades from the last site back to the first, split over what took them.

    Attributes:
        first: Site nearest the input.
        last: Site nearest the loss.
        log10_first: log₁₀ of the gradient's rms at ``first``.
        log10_last: The same at ``last``.
        bars: From ``last`` back to ``first``; they sum to ``decades``.
        totals: Decades per category, largest magnitude first; they sum to ``decades`` too.
    """

    first: str
    last: str
    log10_first: float
    log10_last: float
    bars: tuple[WaterfallBar, ...]
    totals: dict[str, float]

    @property
    def decades(self) -> float:
        return self.log10_first - self.log10_last

    def shares(self) -> dict[str, float]:
        """Each category's part of the total; they sum to 1. Empty where nothing was lost or gained."""
        return {name: part / self.decades for name, part in self.totals.items()} if self.decades else {}


@dataclass(frozen=True)
class Diagnosis:
    """The verdict over a flow.

    Attributes:
        verdict: ``healthy``, ``findings`` or ``cannot_tell``.
        findings: Worst first.
        waterfall: The gradient's budget, ``None`` where no gradient reached a site.
        checked: Symptoms that were looked for.
        unchecked: Symptoms that could not be, and why.
    """

    SCHEMA: ClassVar[str] = "headwater/diagnosis/1"

    verdict: Verdict
    findings: tuple[Finding, ...]
    waterfall: Waterfall | None
    checked: tuple[str, ...]
    unchecked: tuple[Message, ...] = ()
