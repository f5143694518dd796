"""What the faces of a report share: its words in one language, its glyphs, and how names and numbers read."""

from dataclasses import dataclass
from typing import Literal

from headwater.i18n import LANGUAGES, current_language, has_text, number, text
from headwater.records import Diagnosis, Effect, Evidence, InputError, Message, Prescription, Proof, Severity
from headwater.records.message import Value
from headwater.report.names import clean, shorten
from headwater.report.numbers import decades, percent_digits, signed, whole_percents

MOST_FINDINGS = 3
NAME_CELLS = 40  # in running text; about half a terminal line
GLYPHS = {
    "healthy": "✓",
    "critical": "✗",
    "warning": "▲",
    "info": "●",
    "cannot_tell": "?",
    "proven": "✓",
    "not_proven": "○",
    "harmful": "✗",
    "held": "✓",
    "not_held": "✗",
    "restores": "✓",
    "helps": "+",
    "nothing": "○",
    "harms": "✗",
    "not_tried": "–",
}


class _Readable(float):
    """A number that a template without a format of its own shows as people read it: ``{rms}`` is ``1.3e-26``."""

    def __str__(self) -> str:
        return number(float(self))

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)


@dataclass(frozen=True)
class Words:
    """The texts of one language, with every inserted name made safe.

    Attributes:
        language: ``en`` or ``ko``.
    """

    language: str

    @staticmethod
    def of(language: str | None) -> "Words":
        """The words of ``language``, by default of the one in force.

        Raises:
            InputError: If there are no texts in it.
        """
        if language is not None and language not in LANGUAGES:
            raise InputError(f"no texts in {language!r}; choose one of {', '.join(LANGUAGES)}.")
        return Words(language or current_language())

    def __call__(self, message_id: str, **values: Value) -> str:
        return text(message_id, values, self.language)

    def say(self, message: Message) -> str:
        """A message in words, its names cleaned and shortened; the bare id where no catalogue knows it.

        A report of a newer version may hold ids we do not know: it should open all the same.
        """
        values = {key: self._shown(key, value) for key, value in message.values.items()}
        try:
            return clean(text(message.id, values, self.language))
        except (KeyError, ValueError, TypeError):
            return clean(message.id)

    def _shown(self, key: str, value: Value) -> Value:
        if key == "statistic" and isinstance(value, str):
            return self.statistic(value)
        if isinstance(value, str) and key != "symptoms":  # a list of ids, each of which has a name of its own
            return shorten(clean(value), NAME_CELLS)
        return _Readable(value) if isinstance(value, float) else value

    def name(self, message_id: str, raw: str) -> str:
        """The text of ``message_id``, or ``raw`` itself if the catalogue has none."""
        return text(message_id, {}, self.language) if has_text(message_id) else clean(raw)

    def symptom(self, symptom: str) -> str:
        return self.name(f"symptom.{symptom}", symptom)

    def cause(self, cause: str) -> str:
        return self.name(f"cause.{cause}.name", cause)

    def remedies(self, remedies: tuple[str, ...]) -> str:
        """Remedies in the order they are applied, each with its strength if one was asked for."""
        return " + ".join(map(self._remedy, remedies))

    def _remedy(self, remedy: str) -> str:
        base, _, strength = remedy.partition(":")
        name = self.name(f"remedy.{base}.name", base)
        return f"{name} ({clean(strength)})" if strength else name

    def outcome(self, outcome: str) -> str:
        return self.name(f"outcome.{outcome}", outcome)

    def effect(self, effect: Effect) -> str:
        """What a change did to one number, with the interval; how far it moved where both look the same as shown."""
        before, after = (self.value(effect.statistic, value) for value in (effect.before, effect.after))
        statistic = self.statistic(effect.statistic)
        interval = " … ".join(map(signed, effect.interval))
        if effect.change and before == after:
            return f"{statistic} {signed(effect.change)} ({interval})"
        told = self("report.tested_effect", statistic=statistic, before=before, after=after)
        return f"{told} ({interval})"

    def category(self, category: str) -> str:
        return self.name(f"category.{category}", category)

    def statistic(self, statistic: str) -> str:
        return self.name(f"statistic.{statistic}", statistic)

    def severity(self, severity: str) -> str:
        return self.name(f"severity.{severity}", severity)

    def site(self, name: str, cells: int = NAME_CELLS) -> str:
        """A site's name; the model itself has the empty one."""
        return shorten(clean(name), cells) or self("report.root_site")

    def where(self, sites: tuple[str, ...], cells: int = NAME_CELLS) -> str:
        """Where a finding sits: one site, or the first and the last with their number."""
        if not sites:
            return self("report.whole_network")
        if len(sites) == 1:
            return self.site(sites[0], cells)
        first, last = self.site(sites[0], cells // 2), self.site(sites[-1], cells // 2)
        return self("report.site_range", first=first, last=last, count=len(sites))

    def percent(self, share: float | None) -> str:
        return number(None) if share is None else self("report.percent", value=percent_digits(share))

    def shares(self, shares: list[float]) -> list[str]:
        """Shares of one whole, in whole percent that still sum to it."""
        wholes = zip(shares, whole_percents(shares), strict=True)
        return [self("report.percent", value="<1" if whole == 0 and share else str(whole)) for share, whole in wholes]

    def value(self, statistic: str, value: float | int | str | None) -> str:
        """A statistic's value in the unit people read it in."""
        if isinstance(value, str) or value is None:
            return clean(number(value))
        if statistic.endswith("_fraction"):
            return self.percent(float(value))
        if statistic == "decades_per_layer":  # where a tenth of a decade already matters
            return signed(float(value))
        return decades(value) if statistic == "decades" else number(value)

    def evidence(self, item: Evidence) -> str:
        """One measured number: what, how much, against what."""
        value = self.value(item.statistic, item.value)
        if item.threshold is None:
            return self("report.evidence", statistic=self.statistic(item.statistic), value=value)
        threshold = self.value(item.statistic, item.threshold)
        return self(
            "report.evidence_against", statistic=self.statistic(item.statistic), value=value, threshold=threshold
        )

    def counted(self, message_id: str, count: int) -> str:
        """A noun with its number; English tells one from many."""
        return self(f"{message_id}_{'one' if count == 1 else 'many'}", count=count)

    def headline(self, diagnosis: Diagnosis) -> str:
        """The verdict in one line."""
        if diagnosis.verdict != "findings":
            return self.name(f"report.headline_{diagnosis.verdict}", diagnosis.verdict)
        by_severity = dict.fromkeys(("critical", "warning", "info"), 0)
        for finding in diagnosis.findings:
            by_severity[finding.severity] = by_severity.get(finding.severity, 0) + 1
        parts = [
            self.counted(f"report.{s}", n) if has_text(f"report.{s}_one") else f"{n} {clean(s)}"
            for s, n in by_severity.items()
            if n
        ]
        return self(
            "report.headline_findings",
            count=self.counted("report.finding", len(diagnosis.findings)),
            parts=", ".join(parts),
        )

    def proof_sentence(self, proof: Proof) -> str:
        """What the experiment said, with its effect and interval."""
        low, high = proof.interval
        said = self(
            f"proof.sentence_{proof.verdict}",
            metric=self.say(proof.metric),
            before=number(proof.metric_before),
            after=number(proof.metric_after),
            effect=number(proof.effect),
            low=number(low),
            high=number(high),
            seeds=len(proof.seeds),
            steps=proof.steps,
        )
        if proof.verdict != "proven":
            return said
        control = "random_less" if proof.random_remedy < proof.metric_after else "random_as_well"
        return f"{said} {self(f'proof.{control}', random=number(proof.random_remedy))}"


def glyph(status: str) -> str:
    """The sign of a status; a question mark for one we do not know."""
    return GLYPHS.get(status, "?")


def verdict_status(diagnosis: Diagnosis) -> Severity | Literal["healthy", "cannot_tell"]:
    """The status whose glyph and colour a verdict takes: that of its worst finding."""
    if diagnosis.verdict != "findings":
        return diagnosis.verdict
    present = {finding.severity for finding in diagnosis.findings}
    worst_first: tuple[Severity, ...] = ("critical", "warning", "info")
    return next((severity for severity in worst_first if severity in present), "info")


def best_prescription(diagnosis: Diagnosis, proof: Proof | None) -> Prescription | None:
    """The change a report shows in full: the one that was put to the proof, else the worst finding's first."""
    offered = [prescription for finding in diagnosis.findings for prescription in finding.prescriptions]
    proven = [prescription for prescription in offered if proof and prescription.remedies == proof.remedies]
    return next(iter(proven or offered), None)
