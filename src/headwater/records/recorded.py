"""Several recorded runs: a list of them, and what tells two apart."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from headwater.records.message import Message


@dataclass(frozen=True)
class RunSummary:
    """A run in a line.

    Attributes:
        folder: Its folder, relative to the one that was listed.
        name: As it was recorded.
        state: ``running``, ``ended`` or ``broken`` (no end was written); ``unreadable`` with the reason in ``problem``.
        verdict: Of its report: ``healthy``, ``findings`` or ``cannot_tell``; ``null`` of a sweep, which has none.
        created: UTC time, ISO 8601; empty if it is not known.
        model: Class name of the model.
        steps: Optimizer steps up to the last recorded one.
        recorded: Steps that were recorded.
        sites: How many.
        loss: The last one that was told.
        alarms: How many were raised.
        bytes: On disk.
        damaged: Byte ranges that could not be read, of those that this line rests on.
        problem: Why it cannot be read; ``null`` if it can.
        ranks: How many processes have recorded it.
        notes: What is wrong with some of them.
        trainings: How many a sweep has made, ``null`` of a single training.
    """

    folder: str
    name: str
    state: Literal["running", "ended", "broken", "unreadable"]
    verdict: Literal["healthy", "findings", "cannot_tell"] | None
    created: str = ""
    model: str = ""
    steps: int = 0
    recorded: int = 0
    sites: int = 0
    loss: float | None = None
    alarms: int = 0
    bytes: int = 0
    damaged: int = 0
    problem: str | None = None
    ranks: int = 1
    notes: tuple[Message, ...] = ()
    trainings: int | None = None


@dataclass(frozen=True)
class RunList:
    """The runs of a folder.

    Attributes:
        runs: Newest first.
    """

    SCHEMA: ClassVar[str] = "headwater/runs/1"

    runs: tuple[RunSummary, ...]


@dataclass(frozen=True)
class Renamed:
    """A site that is called otherwise in the other run.

    Attributes:
        a: Its name in the first run.
        b: Its name in the second.
    """

    a: str
    b: str


@dataclass(frozen=True)
class Difference:
    """One thing in which two runs differ.

    Attributes:
        kind: ``nonfinite``: one has NaN or Inf; ``statistic``: of a site; ``scalar``: a loss or another logged number.
        name: Of the statistic or the scalar.
        site: Where it is largest, by its name in the first run; ``None`` for a scalar.
        a: Of the first run: the median over the last fifth of the steps that both have.
        b: Of the second run.
        decades: How large: decades between the two. A share that moved from 0 to 1 counts as three.
        sites: At how many aligned sites it is at least half as large.
        from_step: From where on it is at least half as large as in the end.
        message: All of it in a sentence.
    """

    kind: Literal["nonfinite", "statistic", "scalar"]
    name: str
    site: str | None
    a: float | None
    b: float | None
    decades: float
    sites: int
    from_step: int | None
    message: Message


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a: Name of the first run.
        b: Name of the second.
        aligned: Sites that both have, those with another name included.
        renamed: Of them, those that are called otherwise.
        only_a: Sites that only the first has.
        only_b: Sites that only the second has.
        last_step: Up to which step the two are compared.
        differences: The largest ones, at most three, each of another kind of number.
        largest: Over all statistics, the largest difference in decades at each aligned site, by its name in ``a``.
    """

    SCHEMA: ClassVar[str] = "headwater/comparison/1"

    a: str
    b: str
    aligned: int
    renamed: tuple[Renamed, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    last_step: int | None
    differences: tuple[Difference, ...]
    largest: dict[str, float]
