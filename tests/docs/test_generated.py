"""The pages that are made from the code are those that the code makes, and say all that there is to say."""

import csv
import inspect
from pathlib import Path
from types import FunctionType

import pytest

from headwater.diagnosis.ranks import RANK_RULES, RankRule
from headwater.diagnosis.rule import Rule
from headwater.diagnosis.rules import RULES
from headwater.i18n.catalog import catalog
from headwater.kernels import reference
from tests.helpers import ROOT
from website.reference import PAGES
from website.reference.documented import said_of_field, said_of_rule, texts
from website.reference.reach import said_by
from website.reference.statistics import referenced

ALL: tuple[Rule | RankRule, ...] = (*RULES, *RANK_RULES)
# Numbers that reports show beside findings: columns of a table, and those of other commands.
NO_NUMBERS = {"site", "op", "order"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_page_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), f"{path.name} is stale: make docs-pages writes it again"


def test_every_statistic_is_defined() -> None:
    names = {id_.removeprefix("statistic.") for id_ in catalog("en") if id_.startswith("statistic.")}
    assert set(texts("statistics")["statistic"]) == names - NO_NUMBERS


def test_every_statistic_that_a_rule_shows_has_a_name() -> None:
    shown = {id_ for rule in ALL for id_ in said_by(looking(rule.look)).statistics}
    assert len(shown) > 50
    assert [id_ for id_ in sorted(shown) if f"statistic.{id_}" not in catalog("en")] == []


def test_every_definition_is_shown() -> None:
    own = {name for name, value in vars(reference).items() if inspect.isfunction(value) and not name.startswith("_")}
    # Those behind no number of a report: they are read as `below_epsilon_fraction` and the like by the JSON's readers.
    apart = {"attention_logit_max", "below_epsilon_fraction", "feature_offset", "lost_to_rounding_fraction"}
    assert set(referenced()) == own - apart


@pytest.mark.parametrize(("id_", "entry"), texts("statistics")["statistic"].items())
def test_translation_of_a_statistic_is_of_what_the_code_says(id_: str, entry: dict[str, str]) -> None:
    assert entry["ko"]
    if "field" in entry:
        assert entry["en"] == said_of_field(entry["field"]), (
            f"{id_}: translate it anew in website/texts/statistics.toml"
        )


@pytest.mark.parametrize("symptom", [rule.symptom for rule in ALL])
def test_translation_of_a_rule_is_of_what_the_code_says(symptom: str) -> None:
    entry = texts("rules")[symptom]
    assert entry["en"] == said_of_rule(symptom), f"{symptom}: translate it anew in website/texts/rules.toml"
    assert entry["ko"].count("\n\n") == entry["en"].count("\n\n"), f"{symptom}: as many paragraphs"


def test_no_text_is_left_of_a_rule_that_is_gone() -> None:
    assert set(texts("rules")) == {rule.symptom for rule in ALL}


def test_every_cause_that_the_benchmark_saw_is_listed() -> None:
    """Thousands of real findings: what a rule has said there stands among what it can say."""
    listed = {rule.symptom: set(said_by(looking(rule.look)).causes) for rule in ALL}
    seen = set()
    with (ROOT / "docs" / "benchmarks" / "faults_answers.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            # A folded finding may be told with another's cause; only its own are asked for.
            if row["diagnoser"] == "headwater" and row["symptom"] in listed and row["cause"]:
                seen.add((row["symptom"], row["cause"].split()[0]))
    assert len(seen) > 20
    assert sorted(pair for pair in seen if pair[1] not in listed[pair[0]]) == []


def test_every_rule_has_a_cause_and_says_something() -> None:
    for rule in ALL:
        said = said_by(looking(rule.look))
        assert said.causes, rule.symptom
        assert said.messages, rule.symptom


def looking(look: object) -> FunctionType:
    assert isinstance(look, FunctionType)
    return look


def test_every_rule_of_one_process_has_a_program_to_look_at() -> None:
    """Each is printed by a program of the guide or stands in the table of failing examples."""
    text = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    chapters = {chapter.partition("\n")[0]: chapter for chapter in text.split("\n### ")[1:]}
    shown = ("To run and see: ", "Found in: ")
    without = [rule.symptom for rule in RULES if not any(label in chapters[rule.symptom] for label in shown)]
    assert without == []
