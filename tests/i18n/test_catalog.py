"""Both catalogues say the same things, every placeholder can be filled, and every id that the code uses exists."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater import i18n
from headwater.i18n.catalog import catalog
from headwater.i18n.josa import with_josa
from headwater.records import Message
from headwater.records.message import Value
from tests.helpers import ROOT, SOURCE

EN, KO = catalog("en"), catalog("ko")
PARTICLES = {"을/를", "이/가", "은/는", "과/와", "으로/로"}
# Calls whose first argument is a message id.
TAKES_ID = {"text", "Message", "has_text", "progress", "advance"}

# Values that the diagnosis engine adds to a message, as it alone knows which rules were blocked.
ADDED_LATER = {"symptoms"}


def placeholders(template: str) -> list[tuple[str, str]]:
    """Names and format specifications of what a template leaves open."""
    fields = string.Formatter().parse(template)
    return [(name, spec or "") for _, name, spec, _ in fields if name is not None]


def used_ids() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every literal message id in the source, with its call; an f-string gives its literal beginning and a ``*``."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).split(".")[-1] in TAKES_ID:
                for id_ in _literals(node.args[0]):
                    yield path, node, id_


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        yield f"{node.values[0].value}*"


def _values(call: ast.Call) -> set[str] | None:
    """The names a call gives values for, ``None`` where they are not written out."""
    given = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "values"), None)
    if given is None:
        return set()
    if not isinstance(given, ast.Dict) or not all(isinstance(key, ast.Constant) for key in given.keys):
        return None
    return {key.value for key in given.keys if isinstance(key, ast.Constant)}


def test_both_languages_have_the_same_ids() -> None:
    assert EN.keys() == KO.keys()


@pytest.mark.parametrize("id_", EN)
def test_both_languages_leave_the_same_places_open(id_: str) -> None:
    names = [sorted({name for name, _ in placeholders(template)}) for template in (EN[id_], KO[id_])]
    assert names[0] == names[1]


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_placeholder_can_be_filled(language: str) -> None:
    for id_, template in catalog(language).items():
        for name, spec in placeholders(template):
            assert name.isidentifier(), f"{id_}: {name!r}"
            if "/" in spec:
                spec, _, pair = spec.rpartition(",")
                assert (language, pair) in {("ko", known) for known in PARTICLES}, f"{id_}: {pair!r}"
            if "|" in spec:
                assert (language, len(spec.split("|"))) == ("en", 2), f"{id_}: {spec!r}"  # Korean has one form
            elif spec not in {"symptoms", "number", ""}:
                format(3 if spec.endswith("d") else 1.5, spec)


def test_nouns_are_counted() -> None:
    told = [
        i18n.text("lab.engine.csv.classes", {"rows": n, "columns": n, "classes": n, "target": "y"}, "en")
        for n in (1, 2000)
    ]
    assert told[0] == "1 row with 1 input each, 1 class of y to be told."
    assert told[1] == "2,000 rows with 2,000 inputs each, 2,000 classes of y to be told."


def test_exact_sentences_count_layers_too() -> None:
    values: dict[str, Value] = {"percent": 50.0, "site": "1", "samples": 64}
    told = [i18n.text("finding.dead_units", {**values, "layers": n}, "en") for n in (1, 2)]
    assert ["(1 such layer)" in told[0], "(2 such layers)" in told[1]] == [True, True]


COUNTS = "rows|holes|columns|classes|layers|parameters|train|samples|steps|units|points|asked|goals|count|high|got"
PLURAL = re.compile(rf"\{{({COUNTS})(:number)?\}} (?!is |has |does |lies |with )(\w+ )?\w+s\b")


def test_no_text_of_the_lab_counts_one_in_the_plural() -> None:
    lab = {id_: english for id_, english in EN.items() if id_.startswith(("lab.engine.", "lab.page."))}
    assert PLURAL.search("{rows} complete rows")  # as it was
    assert [(id_, found.group()) for id_, english in lab.items() if (found := PLURAL.search(english))] == []


def test_ids_used_in_the_source_exist() -> None:
    found = list(used_ids())
    assert len(found) > 20, "the search finds nothing any more: it looks for calls named in TAKES_ID"
    for path, call, id_ in found:
        known = any(key.startswith(id_[:-1]) for key in EN) if id_.endswith("*") else id_ in EN
        assert known, f"{path}, line {call.lineno}: no text {id_!r}"


def test_messages_in_the_source_fill_every_place() -> None:
    for path, call, id_ in used_ids():
        given = _values(call)
        if id_ in EN and given is not None and ast.unparse(call.func).split(".")[-1] in ("text", "Message"):
            missing = {name for name, _ in placeholders(EN[id_])} - given - ADDED_LATER
            assert not missing, f"{path}, line {call.lineno}: {id_!r} gets no value for {sorted(missing)}"


def test_regularization_and_normalization_are_two_words_in_korean() -> None:
    for id_, english in EN.items():
        if re.search(r"regulari[sz]", english, re.IGNORECASE):
            assert "규제" in KO[id_], id_
        if "정규화" in KO[id_]:
            assert re.search(r"normali[sz]|\w*Norm\b", english, re.IGNORECASE), f"{id_}: 정규화 is normalization only"


def test_korean_uses_one_word_for_one_thing_and_writes_percent_without_space() -> None:
    page = (ROOT / "README.ko.md").read_text(encoding="utf-8")
    for id_, korean in {**KO, "README.ko.md": page}.items():
        assert not re.search("위약|입증|샘플|[0-9}] %", korean), id_


def test_each_language_is_in_its_own_script() -> None:
    hangul = re.compile("[가-힣]")
    assert [id_ for id_, english in EN.items() if hangul.search(english)] == []
    # Where nothing is a word, or the word is a name in both languages, there is nothing to translate.
    words = {id_: re.sub(r"\{[^}]*\}", "", english) for id_, english in EN.items()}
    untranslated = [id_ for id_, korean in KO.items() if not hangul.search(korean) and korean != EN[id_]]
    assert [id_ for id_ in untranslated if re.search("[A-Za-z]", words[id_])] == []


@pytest.mark.parametrize(
    ("word", "pair", "expected"),
    [
        ("기울기", "을/를", "기울기를"),
        ("뉴런", "을/를", "뉴런을"),
        ("층", "으로/로", "층으로"),
        ("정규화", "으로/로", "정규화로"),
        ("활성화값", "은/는", "활성화값은"),
        ("노름", "과/와", "노름과"),
        ("ReLU", "을/를", "ReLU를"),
        ("GELU", "이/가", "GELU가"),
        ("He", "은/는", "He는"),
        ("Adam", "이/가", "Adam이"),
        ("Xavier", "은/는", "Xavier는"),
        ("sigmoid", "이/가", "sigmoid가"),
        ("model", "으로/로", "model로"),
        ("layer2.0/relu#1", "이/가", "layer2.0/relu#1이"),
        ("layers.2", "이/가", "layers.2가"),
        ("3", "으로/로", "3으로"),
        ("7", "으로/로", "7로"),
        ("10", "이/가", "10이"),
        ("mlp", "이/가", "mlp가"),
        ("cnn", "은/는", "cnn은"),
        ("rnn", "을/를", "rnn을"),
        ("gpt", "으로/로", "gpt로"),
        ("gpt2", "이/가", "gpt2가"),
        ("lstm", "이/가", "lstm이"),
        ("MLP", "은/는", "MLP는"),
        ("h.0.attn", "을/를", "h.0.attn을"),
        ("mlp.c_fc", "으로/로", "mlp.c_fc로"),
        ("0.1.0", "으로/로", "0.1.0으로"),
        ("", "이/가", "가"),
    ],
)
def test_particle_follows_how_the_word_is_read(word: str, pair: str, expected: str) -> None:
    assert with_josa(word, pair) == expected


def test_message_speaks_the_language_in_force() -> None:
    message = Message("cli.wrote", {"path": "r.html"})
    with i18n.use_language("ko"):
        assert str(message) == "보고서를 r.html 파일에 저장했습니다"
    with i18n.use_language("en"):
        assert str(message) == "Report written to r.html"


@pytest.mark.parametrize(
    ("spec", "value", "english", "korean"),
    [
        (".1e", 1.4e-26, "1.4e-26", "1.4e-26"),
        ("number", 1.4e-26, "1.4e-26", "1.4e-26"),
        ("number", 0.02532, "0.0253", "0.0253"),
        ("number", 0.0, "0", "0"),
        ("number", None, "–", "–"),
        ("number", float("inf"), "Inf", "Inf"),
        ("number", 2.6e22, "2.6e22", "2.6e22"),
        ("number", 12_800.0, "12,800", "12,800"),
        (".1e", None, "–", "–"),
        (".1e", "nan", "nan", "nan"),
        ("symptoms", "vanishing, overflow", "vanishing gradient, overflow", "기울기 소실, 오버플로"),
        ("이/가", "Adam", "Adam이", "Adam이"),
        ("number,을/를", 0.70698, "0.707을", "0.707을"),
        ("number,을/를", 0.70911, "0.709를", "0.709를"),
        (".2f,은/는", -0.953, "-0.95는", "-0.95는"),
        (".2f,은/는", -0.968, "-0.97은", "-0.97은"),
    ],
)
def test_value_is_written_as_a_reader_expects(
    monkeypatch: pytest.MonkeyPatch, spec: str, value: str | float | None, english: str, korean: str
) -> None:
    monkeypatch.setitem(EN, "planted", f"{{value:{spec}}}")
    monkeypatch.setitem(KO, "planted", f"{{value:{spec}}}")
    written = [i18n.text("planted", {"value": value}, language) for language in i18n.LANGUAGES]
    assert written == [english, korean]


@pytest.mark.parametrize("template", ["{value.__class__}", "{value[0]}"])
def test_template_reaches_nothing_but_the_values_it_is_given(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setitem(EN, "planted", template)
    with pytest.raises(KeyError):
        i18n.text("planted", {"value": "text"}, "en")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HEADWATER_LANG": "ko"}, "ko"),
        ({"HEADWATER_LANG": "en", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LC_ALL": "de_DE.UTF-8", "LANG": "ko_KR.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_language_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("HEADWATER_LANG", "LC_ALL", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert i18n.current_language() == expected


def test_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="no texts in 'fr'; choose one of en, ko"), i18n.use_language("fr"):
        pass
