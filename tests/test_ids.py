"""The ids that a report may hold: the page lists them all, the catalogues name exactly those that the code knows."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from headwater.diagnosis import attribution, waterfall
from headwater.diagnosis.ranks import RANK_RULES
from headwater.diagnosis.rules import RULES
from headwater.i18n.catalog import catalog
from headwater.intervening.changes import CHANGES
from headwater.records import Flow, PathStep, SiteKind
from headwater.records import Path as GradientPath
from headwater.records.intervention import Outcome
from headwater.remedies.registry import REMEDIES
from tests.helpers import ROOT, SOURCE, with_generated

NAMES = {
    "Symptoms": ("symptom.", ""),
    "Causes": ("cause.", ".name"),
    "Waterfall categories": ("category.", ""),
    "Remedies": ("remedy.", ".name"),
    "Changes an intervention makes": ("change.", ""),
    "Outcomes of an intervention": ("outcome.", ""),
}

FORMER = {"nonfinite_operation"}  # causes that only reports saved by older versions hold


def listed(kind: str) -> dict[str, str]:
    """What the English catalogue calls every id of a kind."""
    start, end = NAMES[kind]
    texts = catalog("en").items()
    return {
        id_[len(start) : len(id_) - len(end)]: name
        for id_, name in texts
        if id_.startswith(start) and id_.endswith(end)
    }


def tables() -> str:
    """All ids as Markdown."""
    parts: list[str] = []
    for kind in NAMES:
        rows = [f"| `{id_}` | {name} |" for id_, name in listed(kind).items()]
        parts += [f"### {kind}", "", "| id | in words |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def one_step_of_everything() -> Flow:
    """A flow whose path has an operation of every kind, and a join."""
    operations = [PathStep("a", "Op", kind, "operation", -1.0, 0.5) for kind in get_args(SiteKind)]
    steps = (*operations, PathStep("a", "AddBackward0", "other", "join", 1.0))
    return Flow((), (), GradientPath("a", "b", -8.0, -1.0, steps), 0.0)


def constants(part: str) -> Iterator[str]:
    """Every string written out in the source of a part."""
    for path in (SOURCE / part).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str)


def test_symptoms_are_those_of_the_rules() -> None:
    assert set(listed("Symptoms")) == {rule.symptom for rule in (*RULES, *RANK_RULES)}


def test_remedies_are_those_of_the_registry() -> None:
    assert set(listed("Remedies")) == set(REMEDIES)


def test_changes_are_those_of_the_interventions() -> None:
    assert set(listed("Changes an intervention makes")) == {change.id for change in CHANGES}
    assert set(listed("Outcomes of an intervention")) == set(get_args(Outcome))


def test_categories_are_those_of_the_waterfall() -> None:
    budget = waterfall(one_step_of_everything())
    assert budget is not None
    assert set(listed("Waterfall categories")) == set(budget.totals)


def test_causes_are_those_of_the_diagnosis() -> None:
    causes = set(listed("Causes"))
    assert causes - FORMER <= set(constants("diagnosis")), "a cause that nothing gives"
    assert causes >= FORMER, "a saved report would have no words for it"
    tables_of_causes = (attribution._LOSING, attribution._GAINING, attribution._EITHER)
    charged = {cause for table in tables_of_causes for cause in table.values()} | {"counteracting"}
    assert charged <= causes
    written = {
        value.split(".")[1] for value in constants("diagnosis") if value.startswith("cause.") and value != "cause."
    }
    assert written <= causes


def test_every_category_is_charged_to_a_cause() -> None:
    charged = {*attribution._LOSING, *attribution._GAINING, *attribution._EITHER}
    assert set(listed("Waterfall categories")) <= charged


def test_docs_list_every_id(golden: Callable[[Path, str], None]) -> None:
    page = ROOT / "docs" / "json.md"
    golden(page, with_generated(page, "the code", tables()))
