"""Answers as lines of a file, and back."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.faults.metrics import Row

ANSWERS = "faults_answers"


def save_answers(out: Path | None, rows: list[Row], name: str = ANSWERS) -> None:
    """Every answer as a line of ``name.csv``, but for those of who is always content."""
    if out is None:
        return
    names = [field.name for field in fields(Row)]
    with (out / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(names)
        for row in rows:
            if row.diagnoser != "optimist":
                lines.writerow([cell(getattr(row, name)) for name in names])


def cell(value: Any) -> Any:
    """Lists by blanks, numbers to three digits, truth as 0 and 1."""
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, bool):
        return int(value)
    return f"{value:.3g}" if isinstance(value, float) else value


def load_answers(out: Path | None, name: str) -> list[Row]:
    """The answers of ``name.csv``, numbers to three digits; none if there is no such file."""
    path = None if out is None else out / f"{name}.csv"
    if path is None or not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [answer(line) for line in csv.DictReader(file)]


def answer(line: dict[str, str]) -> Row:
    """One line."""

    def right(name: str) -> bool | None:
        return line[name] == "1" if line[name] else None

    return Row(
        program=line["program"],
        family=line["family"],
        faulty=line["faulty"] == "1",
        seed=int(line["seed"]),
        diagnoser=line["diagnoser"],
        alarm=line["alarm"] == "1",
        symptom=line["symptom"] or None,
        cause=line["cause"] or None,
        sites=tuple(line["sites"].split()),
        verdict=line["verdict"],
        symptom_right=right("symptom_right"),
        cause_right=right("cause_right"),
        site_right=right("site_right"),
        seconds=float(line["seconds"]),
        crash=line["crash"],
        value=float(line["value"]) if line["value"] else None,
        undecided=line["undecided"] == "1",
    )
