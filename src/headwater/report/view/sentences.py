"""Everything a view says, in both languages: the page changes its language without asking anybody."""

from collections.abc import Callable
from dataclasses import dataclass

from headwater.i18n import LANGUAGES, number
from headwater.records import Cause, Diagnosis, Evidence, Finding, Message, Prescription, Severity
from headwater.report.names import clean
from headwater.report.sections.about import watch_sentence, watch_values
from headwater.report.view.course import Course
from headwater.report.words import Words

MOST_CAUSES = 4
MOST_REMEDIES = 4
MOST_DAMAGE = 8  # of a run that is in ruins, hundreds of files


@dataclass(frozen=True)
class Said:
    """A sentence in both languages.

    Attributes:
        en: In English.
        ko: In Korean.
    """

    en: str
    ko: str


@dataclass(frozen=True)
class ViewCause:
    """Why a symptom is there.

    Attributes:
        name: What it is called.
        share: Its part, ``None`` where there is none.
        why: The reason.
    """

    name: Said
    share: float | None
    why: Said


@dataclass(frozen=True)
class ViewRemedy:
    """A change worth trying.

    Attributes:
        name: What it is called.
        why: What it does about the cause.
        wrong_when: When it would be the wrong thing to do.
        code: The change as Python code.
    """

    name: Said
    why: Said
    wrong_when: Said
    code: str


@dataclass(frozen=True)
class ViewFinding:
    """One thing that is wrong.

    Attributes:
        symptom: Its id.
        severity: How bad it is.
        name: What it is called.
        sentence: What it is.
        where: At which sites.
        sites: Their indices.
        step: Optimizer steps taken before it was seen.
        evidence: The numbers behind it.
        causes: Most important first.
        remedies: Best first.
        consequences: What goes away with it.
    """

    symptom: str
    severity: Severity
    name: Said
    sentence: Said
    where: Said
    sites: tuple[int, ...]
    step: int
    evidence: tuple[Said, ...]
    causes: tuple[ViewCause, ...]
    remedies: tuple[ViewRemedy, ...]
    consequences: tuple[Said, ...]


@dataclass(frozen=True)
class Fact:
    """A circumstance of the run.

    Attributes:
        name: What it is.
        value: Its value.
    """

    name: Said
    value: Said


def said(write: Callable[[Words], str]) -> Said:
    """What ``write`` makes of the words of each language."""
    return Said(*(write(Words.of(language)) for language in LANGUAGES))


def said_message(message: Message) -> Said:
    """A message in both languages."""
    return said(lambda words: words.say(message))


def plainly(text: str) -> Said:
    """What reads the same in both."""
    return Said(text, text)


def headline_of(diagnosis: Diagnosis | None) -> Said:
    """The verdict in one line."""
    if diagnosis is None:
        return said(lambda words: words("view.not_judged"))
    return said(lambda words: words.headline(diagnosis))


def lead_of(course: Course) -> Said:
    """How much was looked at, and what could not be."""
    looked_at = _looked_at(course)
    if not course.unread:
        return looked_at
    unread = said(lambda words: words.counted("report.unread", len(course.unread)))
    return Said(f"{looked_at.en} {unread.en}", f"{looked_at.ko} {unread.ko}")


def _looked_at(course: Course) -> Said:
    if course.watch is not None:
        watch = course.watch
        return said(lambda words: words(watch_sentence(watch), **watch_values(watch)))
    count = number(len(course.steps) if course.measured is None else course.measured)
    return said(lambda words: words("view.lead", steps=count, sites=number(len(course.sites))))


def findings_of(diagnosis: Diagnosis | None, place: dict[str, int]) -> tuple[ViewFinding, ...]:
    """The findings in words, their sites by index."""
    return tuple(_finding(finding, place) for finding in diagnosis.findings) if diagnosis else ()


def _evidence(evidence: Evidence) -> Said:
    return said(lambda words: words.evidence(evidence))


def _finding(finding: Finding, place: dict[str, int]) -> ViewFinding:
    return ViewFinding(
        symptom=finding.symptom,
        severity=finding.severity,
        name=said(lambda words: words.symptom(finding.symptom)),
        sentence=said_message(finding.message),
        where=said(lambda words: words.where(finding.sites)),
        sites=tuple(place[site] for site in finding.sites if site in place),
        step=finding.step,
        evidence=tuple(map(_evidence, finding.evidence)),
        causes=tuple(map(_cause, finding.causes[:MOST_CAUSES])),
        remedies=tuple(map(_remedy, finding.prescriptions[:MOST_REMEDIES])),
        consequences=tuple(said_message(one.message) for one in finding.consequences),
    )


def _cause(cause: Cause) -> ViewCause:
    return ViewCause(said(lambda words: words.cause(cause.id)), cause.share, said_message(cause.why))


def _remedy(prescription: Prescription) -> ViewRemedy:
    name = said(lambda words: words.remedies(prescription.remedies))
    return ViewRemedy(name, said_message(prescription.why), said_message(prescription.wrong_when), prescription.code)


def facts_of(course: Course) -> tuple[Fact, ...]:
    """Circumstances of the run: model, size, device, versions."""
    measured = int(course.steps[-1]) if len(course.steps) else 0
    facts = [_fact("report.run_step", number(measured if course.watch is None else course.watch.steps))]
    run = course.run
    if run is not None:
        facts = [
            _fact("report.run_model", run.model),
            _fact("report.run_parameters", number(run.parameters)),
            _fact("report.run_trainable", number(run.trainable)),
            _fact("report.run_device", run.device),
            *facts,
            _fact("report.run_created", run.created),
            _fact("report.run_torch", run.torch),
            _fact("report.run_python", run.python),
            _fact("report.run_headwater", run.headwater),
        ]
    return (*facts, *map(_damage, course.unread[:MOST_DAMAGE]))


def _damage(unread: Message) -> Fact:
    """A file that could not be read, its name in full."""
    value = said(lambda words: clean(words(unread.id, **unread.values)))
    return Fact(said(lambda words: words("report.damage")), value)


def _fact(term: str, value: str) -> Fact:
    return Fact(said(lambda words: words(term)), plainly(value))
