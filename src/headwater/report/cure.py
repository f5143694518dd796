"""A cure for a terminal, as JSON and as a page: what was wrong, what was tried, what is proven, and the change."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

from rich.cells import cell_len
from rich.text import Text

from headwater.i18n import number
from headwater.records import Candidate, InputError, Proof
from headwater.records.cure import Cure as Record
from headwater.report.face import Face
from headwater.report.lines import COLOURS, WIDEST, fit, padded, wrap
from headwater.report.names import clean, crop
from headwater.report.proving import factor, milliseconds
from headwater.report.words import Words, glyph

MOST_LINES = 25
MOST_CANDIDATES = 6
LEAST_CELLS = 20  # of a candidate's ids
STATUS = {"proven": "proven", "not_proven": "not_proven", "nothing_to_fix": "healthy"}


@dataclass(frozen=True)
class Row:
    """A number before and after, over the proof's seeds.

    Attributes:
        name: What it is.
        before: Of the original, mean and spread.
        after: Of the repaired.
    """

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Cure(Record, Face):
    """A cure with its faces; the fields are those of the record."""

    def making(self, model: Callable[[], Any]) -> Self:
        """The same, with what makes the repaired model."""
        object.__setattr__(self, "_model", model)
        return self

    def model(self) -> Any:
        """A new model, repaired if the cure is proven, else as the experiment makes it.

        Raises:
            InputError: For a cure read from a file, which has no experiment; its patch repairs a model.
        """
        model = getattr(self, "_model", None)
        if model is None:
            raise InputError(
                "a cure that was read from a file makes no model: run its patch, repair(model), or hw.fix(experiment)."
            )
        return model()

    @classmethod
    def of(cls, record: Record) -> Self:
        """The same as a record, with faces."""
        return cls(**{field.name: getattr(record, field.name) for field in fields(record)})

    def lines(self, words: Words, width: int) -> Iterable[Text]:
        """At most 25 lines of 80 columns: the verdict, before and after, what was tried."""
        cells = min(max(width, 20), WIDEST)
        blocks = [_head(self, words, cells), _comparison(self, words, cells), _tried(self, words, cells)]
        found = [line for block in blocks for line in block]
        notes = [line for note in self.notes for line in _wrapped(words.say(note), cells, 2)]
        room = MOST_LINES - len(found)
        return [*found, *notes[:room]]

    def page(self, words: Words) -> str:
        """The whole page."""
        from headwater.report.cure_page import page

        return page(self, words)

    def cell(self, words: Words) -> str:
        """The page's sections, for a notebook."""
        from headwater.report.cure_page import cell

        return cell(self, words)


def title(cure: Record, words: Words) -> str:
    """The verdict and the change in a line."""
    said = words(f"cure.{cure.verdict}")
    if not cure.remedies:
        return said
    rate = "" if cure.rate == 1.0 else f" · {words('cure.rate', factor=factor(cure.rate))}"
    return f"{said} · {words.remedies(cure.remedies)}{rate}"


def sentences(cure: Record, words: Words) -> list[str]:
    """What was found and what came of it."""
    found = [words("cure.found", symptoms=", ".join(words.symptom(f.symptom) for f in cure.findings[:3]))]
    told = found if cure.findings else []
    if cure.proof is not None:
        remedies = "" if cure.remedies else words("cure.tested", remedies=words.remedies(cure.proof.remedies)) + " "
        told.append(remedies + words.proof_sentence(cure.proof))
    if cure.interrupted:
        told.append(words("cure.interrupted"))
    return told


def comparison(cure: Record, words: Words) -> list[Row]:
    """The metric, the held-out loss and the number that failed, before and after."""
    rows = []
    if cure.measure is not None:
        statistic = cure.measure.statistic

        def value(number_: float) -> str:
            return words.value(statistic, number_)

        sides = (_spread(values, value) for values in (cure.measure.before, cure.measure.after))
        rows.append(Row(words.statistic(statistic), *sides))
    if cure.proof is not None:
        before, after = cure.proof.arm("original"), cure.proof.arm("treated")
        sides = (_spread(arm.metrics, number) for arm in (before, after))
        rows.append(Row(words.say(cure.metric), *sides))
        if before.held_out_losses:
            sides = (_spread(arm.held_out_losses, number) for arm in (before, after))
            rows.append(Row(words("cure.held_out_loss"), *sides))
    return rows


def _spread(values: tuple[float, ...], shown: Callable[[float], str]) -> str:
    """Mean and standard deviation over seeds."""
    mean = shown(statistics.fmean(values))
    return f"{mean} ± {number(float(f'{statistics.stdev(values):.2g}'))}" if len(values) > 1 else mean


def standing(candidate: Candidate, words: Words) -> list[str]:
    """A candidate as cells of a table."""
    name = words.remedies(candidate.remedies) or words("proof.arm_original")
    if candidate.standing in ("failed", "not_tried") or not candidate.steps:
        return [name, words(f"cure.standing_{candidate.standing}"), "–", "–", "–"]
    told = [factor(candidate.rate), str(candidate.steps), number(candidate.metric)]
    return [name, words(f"cure.standing_{candidate.standing}"), *told]


def _head(cure: Record, words: Words, cells: int) -> list[Text]:
    status = STATUS.get(cure.verdict, cure.verdict)
    run = cure.run
    facts = [clean(run.model), words.counted("report.parameter", run.parameters), clean(run.device)]
    facts.append(words("cure.seconds", seconds=number(float(f"{run.wall_time_s:.3g}"))))
    head = [
        fit(Text(f"{glyph(status)} {title(cure, words)}", COLOURS.get(status, "")), cells),
        fit(Text("  " + " · ".join(facts), "dim"), cells),
    ]
    for sentence in sentences(cure, words):
        head += _wrapped(sentence, cells, 4)
    return head


def _comparison(cure: Record, words: Words, cells: int) -> list[Text]:
    rows = comparison(cure, words)
    if not rows or cure.proof is None:
        return []
    rows = [Row("", words("proof.arm_original"), words("cure.repaired")), *rows]
    widths = [max(cell_len(getattr(row, part)) for row in rows) for part in ("name", "before", "after")]
    told = [Text()]
    for index, row in enumerate(rows):
        name, before, after = (
            padded(part, w) for part, w in zip((row.name, row.before, row.after), widths, strict=True)
        )
        told.append(fit(Text(f"  {name}  {before}  {after}".rstrip(), "dim" if index == 0 else ""), cells))
    told.append(fit(Text("  " + _cost(cure.proof, words), "dim"), cells))
    return told


def _cost(proof: Proof, words: Words) -> str:
    runs = words("proof.runs", seeds=len(proof.seeds), steps=proof.steps)
    if proof.cost is None:
        return runs
    before, after = milliseconds(proof.cost.step_s_before), milliseconds(proof.cost.step_s_after)
    return f"{runs} · {words('cure.step_time', before=before, after=after)}"


def _tried(cure: Record, words: Words, cells: int) -> list[Text]:
    if not cure.candidates:
        return []
    shown = list(cure.candidates[:MOST_CANDIDATES])
    rows = [[words(f"cure.{part}") for part in ("tried", "outcome", "rate_head", "steps")] + [words.say(cure.metric)]]
    rows += [[_ids(candidate, words), *standing(candidate, words)[1:]] for candidate in shown]
    others = sum(max(cell_len(row[column]) for row in rows) + 2 for column in range(1, len(rows[0])))
    rows = [[crop(row[0], max(cells - 2 - others, LEAST_CELLS)), *row[1:]] for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    told = [Text()]
    for index, row in enumerate(rows):
        line = "  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True))
        told.append(fit(Text(f"  {line}".rstrip(), "dim" if index == 0 else ""), cells))
    rest = len(cure.candidates) - len(shown)
    if rest > 0:
        told.append(fit(Text("  " + words.counted("cure.more", rest), "dim"), cells))
    return told


def _ids(candidate: Candidate, words: Words) -> str:
    """A candidate as ``headwater prove`` takes it: shorter than its name, and with its strength."""
    return clean(" + ".join(candidate.remedies)) or words("proof.arm_original")


def _wrapped(content: str, cells: int, most: int) -> list[Text]:
    return [Text("  " + line) for line in wrap(content, cells - 2, most)]
