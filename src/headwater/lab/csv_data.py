"""A file of the user's own: numbers and a last column to be told from them. Holes are told, never filled."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from typing import Any

from headwater.lab.plan import Shape, Task
from headwater.lab.refusal import RefusedError
from headwater.records import Message
from headwater.records.message import Value
from headwater.report.view.sentences import said_message

MOST_BYTES = 1_000_000
MOST_ROWS = 5000
MOST_COLUMNS = 64
MOST_CLASSES = 20
FEWEST_ROWS = 20
_LARGEST = 1e30  # float32 ends at 3.4e38, and a number of the network's is some times as large
_HOLES = {"", "na", "n/a", "nan", "null", "none", "?", "-"}


@dataclass(frozen=True)
class Uploaded:
    """A file that can be trained on.

    Attributes:
        id: Of its content.
        columns: Names of the inputs.
        target: Name of the last column.
        task: Whether that holds classes or numbers.
        classes: What they are called.
        inputs: Row by row.
        targets: Numbers, or places among the classes.
        holes: Rows that were left out because something was missing in them.
        first_hole: Line and column of the first such.
    """

    id: str
    columns: tuple[str, ...]
    target: str
    task: Task
    classes: tuple[str, ...]
    inputs: tuple[tuple[float, ...], ...]
    targets: tuple[float, ...]
    holes: int
    first_hole: tuple[int, str] | None

    @property
    def shape(self) -> Shape:
        """What it asks of a network."""
        return Shape(self.task, len(self.columns), len(self.classes) if self.task == "classes" else 1)

    def to_dict(self) -> dict[str, Any]:
        """What the page is told of it."""
        values: dict[str, Value] = {
            "rows": len(self.inputs),
            "columns": len(self.columns),
            "target": self.target,
            "classes": len(self.classes),
        }
        told = said_message(Message(f"lab.engine.csv.{self.task}", values))
        return {
            "csv": self.id,
            "rows": len(self.inputs),
            "dropped": self._dropped(),
            "columns": list(self.columns),
            "target": self.target,
            "task": self.task,
            "classes": list(self.classes),
            "said": {"en": told.en, "ko": told.ko},
        }

    def _dropped(self) -> dict[str, Any] | None:
        if self.first_hole is None:
            return None
        line, column = self.first_hole
        said = said_message(Message("lab.engine.csv.holes", {"rows": self.holes, "line": line, "column": column}))
        return {"rows": self.holes, "said": {"en": said.en, "ko": said.ko}}


def read(text: str) -> Uploaded:
    """The samples of a CSV file with a line of names; its last column is the target.

    Raises:
        RefusedError: If it cannot be trained on; the message has the line and column at fault.
    """
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise RefusedError("csv_bytes", {"most": MOST_BYTES}, "csv", status=413)
    rows = _rows(text)
    names = _names(rows[0])
    inputs, written, holes, first_hole = [], [], 0, None
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise RefusedError("csv_width", {"line": line, "got": len(row), "columns": len(names)}, "csv")
        hole = next((names[at] for at, cell in enumerate(row) if cell.strip().lower() in _HOLES), None)
        if hole is not None:
            holes, first_hole = holes + 1, first_hole or (line, hole)
            continue
        inputs.append(tuple(_number(cell, line, name) for cell, name in zip(row[:-1], names[:-1], strict=True)))
        written.append(row[-1].strip())
    if len(inputs) < FEWEST_ROWS:
        raise RefusedError("csv_few", {"rows": len(inputs), "fewest": FEWEST_ROWS, "holes": holes}, "csv")
    task, classes, targets = _targets(written)
    identity = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    return Uploaded(identity, names[:-1], names[-1], task, classes, tuple(inputs), targets, holes, first_hole)


def _rows(text: str) -> list[list[str]]:
    dialect = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=dialect, strict=True) if row]
    except csv.Error as error:
        raise RefusedError("csv_broken", {"error": str(error)}, "csv") from error
    if len(rows) < 2:
        raise RefusedError("csv_few", {"rows": max(len(rows) - 1, 0), "fewest": FEWEST_ROWS, "holes": 0}, "csv")
    if len(rows) - 1 > MOST_ROWS:
        raise RefusedError("csv_rows", {"rows": len(rows) - 1, "most": MOST_ROWS}, "csv")
    return rows


def _names(row: list[str]) -> tuple[str, ...]:
    if not 2 <= len(row) <= MOST_COLUMNS + 1:
        raise RefusedError("csv_columns", {"columns": len(row), "most": MOST_COLUMNS + 1}, "csv")
    return tuple(name.strip()[:60] or f"#{place}" for place, name in enumerate(row, start=1))


def _number(cell: str, line: int, name: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RefusedError("csv_number", {"line": line, "column": name, "got": cell.strip()[:40]}, "csv")
    if abs(value) > _LARGEST:
        raise RefusedError("csv_large", {"line": line, "column": name, "got": value, "most": _LARGEST}, "csv")
    return value


def _targets(written: list[str]) -> tuple[Task, tuple[str, ...], tuple[float, ...]]:
    """Words, or few different numbers, are classes; many numbers are a curve."""
    distinct = sorted(set(written))
    if len(distinct) < 2:
        raise RefusedError("csv_one_class", {"value": distinct[0]}, "csv")
    if len(distinct) <= MOST_CLASSES:
        return "classes", tuple(distinct), tuple(float(distinct.index(value)) for value in written)
    try:
        values = tuple(float(value) for value in written)
    except ValueError:
        raise RefusedError("csv_classes", {"classes": len(distinct), "most": MOST_CLASSES}, "csv") from None
    bad = next((value for value in values if not abs(value) <= _LARGEST), None)
    if bad is not None:
        raise RefusedError("csv_target", {"got": bad, "most": _LARGEST}, "csv")
    return "curve", (), values
