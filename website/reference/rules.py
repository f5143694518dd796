"""The page of rules: what each looks for, its limits, what it says, its causes and what is prescribed."""

import ast
import inspect
import math
import re
from collections.abc import Iterator
from functools import cache
from types import FunctionType

from headwater.diagnosis.gradient_scale import Limit
from headwater.diagnosis.ranks import RANK_RULES
from headwater.diagnosis.rules import RULES
from headwater.i18n import text
from headwater.i18n.catalog import catalog
from website.layout import DOCS, ROOT
from website.reference.documented import GENERATED, anchor, ending, module_of, said_of_rule, texts
from website.reference.reach import Said, said_by

EXAMPLES = ROOT / "tests" / "diagnosis" / "test_symptoms.py"
WORDS: dict[str, dict[str, str]] = texts("words")["rules"]


def page(language: str) -> str:
    """The page in one language."""
    words = WORDS[language]
    parts = [f"# {words['title']}", GENERATED, words["lead"], words["examples_lead"], f"## {words['one']}"]
    parts += [_rule(rule.symptom, rule.look, language) for rule in RULES]
    parts += [f"## {words['ranks']}"]
    parts += [_rule(rule.symptom, rule.look, language) for rule in RANK_RULES]
    return "\n\n".join(parts) + "\n"


def _rule(symptom: str, look: object, language: str) -> str:
    assert isinstance(look, FunctionType)
    words, said = WORDS[language], said_by(look)
    told = said_of_rule(symptom) if language == "en" else texts("rules")[symptom]["ko"]
    parts = [f"### {symptom}", f"**{text(f'symptom.{symptom}', language=language)}.** {told}".replace("``", "`")]
    parts += [f"**{words['says']}**", _list(_template(message, language) for message in said.messages)]
    limits = _limits(symptom, language)
    parts += [f"**{words['limits']}**", limits] if limits else []
    sources = list(_sources(symptom))
    parts += [f"{words['source']}: {'; '.join(sources)}."] if sources else []
    if said.statistics:
        named = (f"[`{id_}`](statistics{ending(language)}.md)" for id_ in said.statistics)
        parts.append(f"**{words['numbers']}**: {', '.join(named)}.")
    parts += [f"**{words['causes']}**", _list(_cause(cause, language) for cause in said.causes)]
    parts += [f"**{words['fixes']}**", _list(_fixes(said, language)) or words["none"]]
    parts += list(_examples(symptom, language))
    return "\n\n".join(parts)


def _list(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _template(message: str, language: str) -> str:
    """A sentence with its gaps left open."""
    found = re.sub(r"\{[^}|]*\|([^}|]*)\}", r"… \1", catalog(language)[message])
    return re.sub(r"\{[^}]*\}", "…", found).replace("*", "\\*")


def _cause(cause: str, language: str) -> str:
    return f"`{cause}`: {text(f'cause.{cause}.name', language=language)}"


def _fixes(said: Said, language: str) -> Iterator[str]:
    for ids in said.prescriptions:
        if ids[0].startswith("advice_"):
            yield f"{WORDS[language]['by_hand']}: {_template(f'prescription.{ids[0]}.why', language)}"
        else:
            yield " + ".join(f"[`{id_}`](remedies{ending(language)}.md#{anchor(id_)})" for id_ in ids)


def _limits(symptom: str, language: str) -> str:
    """The numbers of a rule's file, with what the code says beside them."""
    module, words = module_of(symptom), WORDS[language]
    comments = _comments(inspect.getsource(module))
    rows = []
    for name, value in vars(module).items():
        if name not in comments:
            continue
        if isinstance(value, Limit):
            rows.append((name, f"{_number(10.0**value.decades)} ({value.severity})", _plain(value.source)))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.append((name, _number(float(value)), comments[name]))
    if not rows:
        return ""
    lines = [
        (words["name"], words["value"], words["from"]),
        ("---", "---", "---"),
        *((f"`{n}`", v, w) for n, v, w in rows),
    ]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _comments(source: str) -> dict[str, str]:
    """The constants that a file defines itself, with the comment behind each."""
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            _, _, comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")
            found[node.targets[0].id] = comment
    return found


def _number(value: float) -> str:
    if value == 0 or 1e-3 < abs(value) < 1e5:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    mantissa = f"{value / 10.0**exponent:.2g}"
    return f"{'' if mantissa == '1' else mantissa + '·'}10^{exponent}"


def _plain(source: str) -> str:
    """A source without the page that this one links anyway."""
    return source.removesuffix(" (docs/thresholds.md)").replace("; docs/thresholds.md", "")


def _sources(symptom: str) -> Iterator[str]:
    module = module_of(symptom)
    own = _comments(inspect.getsource(module))
    for name, value in vars(module).items():
        if name in own and name.endswith("SOURCE") and isinstance(value, str):
            yield _plain(value).replace("|", "\\|")


def _examples(symptom: str, language: str) -> Iterator[str]:
    words = WORDS[language]
    sections = [f"[{head}](../guide{ending(language)}.md#{slug})" for head, slug in _in_guide(symptom, language)]
    if sections:
        yield f"{words['guide']}: {', '.join(sections)}."
    for table, label in (("FAILING", words["failing"]), ("HEALTHY", words["healthy"])):
        code = _table(table).get(symptom)
        if code:
            yield f"{label}: `{code}`"


def _in_guide(symptom: str, language: str) -> list[tuple[str, str]]:
    """The chapters of the guide whose programs print the symptom, as they are headed and linked."""
    text = (DOCS / f"guide{ending(language)}.md").read_text(encoding="utf-8")
    printed = re.compile(rf"^```text\n(?:(?!```).*\n)*?.*\b{symptom}\b", re.MULTILINE)
    chapters = [chapter.partition("\n") for chapter in text.split("\n## ")[1:]]
    return [(head, _slug(head)) for head, _, body in chapters if printed.search(body)]


def _slug(head: str) -> str:
    return re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")


@cache
def _table(name: str) -> dict[str, str]:
    """The programs of a table of examples, as they are written."""
    source = EXAMPLES.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            assert isinstance(node.value, ast.Dict)
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {
                str(key.value): _one_line(value.elts[0] if isinstance(value, ast.Tuple) else value)
                for key, value in pairs
                if isinstance(key, ast.Constant)
            }
    raise KeyError(name)


def _one_line(program: ast.expr) -> str:
    return ast.unparse(program)
