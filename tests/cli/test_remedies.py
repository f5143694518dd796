"""``headwater remedies``: every remedy listed, each explained in both languages, and what is asked for in vain."""

import json

import pytest
from click.testing import CliRunner

from headwater.cli.main import cli
from headwater.i18n.catalog import catalog
from headwater.remedies.explained import PARTS, all_explained, explained
from headwater.remedies.registry import REMEDIES


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["remedies", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("remedy", REMEDIES)
def test_every_remedy_says_what_it_does_when_it_applies_when_it_is_wrong_its_cost_and_source(remedy, language):
    told = explained(remedy)
    for part in ("name", *PARTS):
        message = getattr(told, part)
        assert len(catalog(language)[message.id]) > 3, part
    assert told.what.id == f"remedy.{remedy}.what"
    assert told.source.id == f"remedy.{remedy}.source"


def test_texts_of_families_belong_to_remedies_that_exist():
    owners = {id_.rpartition(".")[0].removeprefix("remedy.") for id_ in catalog("en") if id_.startswith("remedy.")}
    families = {remedy.partition(".")[0] for remedy in REMEDIES}
    assert owners <= set(REMEDIES) | families


def test_list_names_every_remedy_once():
    lines = run().splitlines()
    assert [line.split()[0] for line in lines if line and line.split()[0] in REMEDIES] == list(REMEDIES)


def test_one_is_explained_in_full():
    output = run("init.lsuv", "regularisation.l2")
    words = " ".join(output.split())
    assert "every layer's output has variance 1" in words
    assert "hw.apply(model, 'init.lsuv', batches=[batch], loss=loss)" in words
    assert "arXiv:1511.06422" in words
    assert "regularisation.l2:5.0e-4 is what the id alone means" in words
    assert "No cure" not in words
    assert "No cure" in run("init.normal_one")


def test_korean_is_korean_to_the_last_line():
    output = run("regularisation.dropout", "structure.rezero", "--lang", "ko")
    assert "0으로 만들 값의 비율 p" in " ".join(output.split())
    assert "하는 일" in output


def test_json_has_every_part_in_words():
    data = json.loads(run("--json"))
    assert data["schema"] == "headwater/remedies/1"
    assert [remedy["id"] for remedy in data["remedies"]] == list(REMEDIES)
    assert all(remedy[part]["text"] for remedy in data["remedies"] for part in ("name", *PARTS))
    assert {remedy["id"] for remedy in data["remedies"] if remedy["needs_batch"]} == {
        remedy.id for remedy in REMEDIES.values() if remedy.needs_data
    }
    assert json.loads(run("init.he", "--json", "--lang", "ko"))["language"] == "ko"


def test_strength_behind_the_colon_is_checked_and_passed_over():
    assert run("regularisation.l1:0.5") == run("regularisation.l1")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("structure.rezzero", "Did you mean structure.rezero"),
        ("init.he:2", "init.he takes no strength"),
        ("zzz", "no remedy"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(asked, said):
    result = CliRunner().invoke(cli, ["remedies", asked])
    assert result.exit_code == 2
    assert said in result.output


def test_order_is_that_of_the_registry():
    assert [told.id for told in all_explained()] == list(REMEDIES)
