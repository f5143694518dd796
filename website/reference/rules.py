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
from website.layout import ROOT
from website.reference.documented import GENERATED, anchor, module_of, said_of_rule, texts
from website.reference.reach import Said, said_by

EXAMPLES = ROOT / "tests" / "diagnosis" / "test_symptoms.py"
WORDS = {
    "en": {
        "title": "Rules",
        "lead": "Every symptom that headwater looks for, in the order in which it is looked for. A rule is one file of "
        "`src/headwater/diagnosis/rules/` (`ranks/` for what only several processes reveal); what is written here is its docstring, its "
        "constants and what its functions can say. How each limit is applied, with all its exceptions and figures, stands in "
        "[thresholds](../thresholds.md); the numbers are defined in [statistics](statistics.md), the remedies in [remedies](remedies.md).",
        "examples_lead": "The examples are those of `tests/diagnosis/test_symptoms.py`, where each failing one is found with its cause and each "
        "healthy one left alone, over several seeds.",
        "one": "Seen by one process",
        "ranks": "Seen only beside other ranks",
        "says": "What it says",
        "limits": "Limits",
        "name": "constant",
        "value": "value",
        "from": "where it comes from",
        "source": "Sources",
        "numbers": "Numbers it shows",
        "causes": "Causes it can name",
        "fixes": "What it can prescribe",
        "failing": "Found in",
        "healthy": "Not found in",
        "none": "Nothing: no remedy is known.",
        "by_hand": "by hand",
    },
    "ko": {
        "title": "규칙",
        "lead": "headwater가 찾는 모든 증상을, 찾는 순서대로 적었습니다. 규칙 하나가 `src/headwater/diagnosis/rules/`의 파일 하나이고(여러 프로세스를 "
        "함께 보아야 드러나는 것은 `ranks/`), 여기 적힌 것은 그 파일의 설명과 상수, 그리고 그 함수가 말할 수 있는 것입니다. 각 한계를 어떻게 적용하는지와 "
        "예외, 측정값은 모두 [한계값](../thresholds.md)에 있습니다(영어). 수의 정의는 [통계](statistics.md), 처방은 [처방](remedies.md)에 있습니다. 상수의 "
        "설명과 출처는 코드에 적힌 영어 그대로입니다.",
        "examples_lead": "예는 `tests/diagnosis/test_symptoms.py`의 것입니다. 문제가 있는 예는 여러 시드에서 원인과 함께 찾아야 하고, 건강한 예는 건드리지 않아야 "
        "합니다.",
        "one": "한 프로세스에서 보이는 것",
        "ranks": "다른 랭크와 견주어야 보이는 것",
        "says": "하는 말",
        "limits": "한계",
        "name": "상수",
        "value": "값",
        "from": "근거",
        "source": "출처",
        "numbers": "보여 주는 수",
        "causes": "말할 수 있는 원인",
        "fixes": "처방할 수 있는 것",
        "failing": "찾는 예",
        "healthy": "찾지 않는 예",
        "none": "없습니다. 알려진 처방이 없습니다.",
        "by_hand": "직접 고칠 것",
    },
}


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
        named = (f"[`{id_}`](statistics.md)" for id_ in said.statistics)
        parts.append(f"**{words['numbers']}**: {', '.join(named)}.")
    parts += [f"**{words['causes']}**", _list(_cause(cause, language) for cause in said.causes)]
    parts += [f"**{words['fixes']}**", _list(_fixes(said, language)) or words["none"]]
    parts += list(_examples(symptom, words))
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
            yield " + ".join(f"[`{id_}`](remedies.md#{anchor(id_)})" for id_ in ids)


def _limits(symptom: str, language: str) -> str:
    """The numbers of a rule's file, with what the code says beside them."""
    module, words = module_of(symptom), WORDS[language]
    comments = _comments(inspect.getsource(module))
    rows = []
    for name, value in vars(module).items():
        if name not in comments:
            continue
        if isinstance(value, Limit):
            rows.append((name, f"{_number(10.0**value.decades)} ({value.severity})", value.source))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.append((name, _number(float(value)), comments[name]))
    if not rows:
        return ""
    lines = [(words["name"], words["value"], words["from"]), ("---", "---", "---"), *((f"`{n}`", v, w) for n, v, w in rows)]
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


def _sources(symptom: str) -> Iterator[str]:
    module = module_of(symptom)
    own = _comments(inspect.getsource(module))
    for name, value in vars(module).items():
        if name in own and name.endswith("SOURCE") and isinstance(value, str):
            yield value.removesuffix(" (docs/thresholds.md)").replace("; docs/thresholds.md", "").replace("|", "\\|")


def _examples(symptom: str, words: dict[str, str]) -> Iterator[str]:
    for table, label in (("FAILING", words["failing"]), ("HEALTHY", words["healthy"])):
        code = _table(table).get(symptom)
        if code:
            yield f"{label}: `{code}`"


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
