"""What a rule can say: the causes, remedies and numbers that its functions name, read off their source."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType
from typing import Any

from headwater.i18n import has_text
from headwater.i18n.catalog import catalog
from headwater.remedies.registry import REMEDIES

OURS = "headwater.diagnosis"


@dataclass
class Said:
    """What may stand in a rule's findings.

    Attributes:
        messages: Ids of sentences, by the order in which they are named.
        causes: Ids of causes.
        prescriptions: Remedies that are prescribed together, without strengths; or the id of an advice.
        statistics: Ids of the numbers shown.
    """

    messages: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    prescriptions: list[tuple[str, ...]] = field(default_factory=list)
    statistics: list[str] = field(default_factory=list)


@cache
def said_by(look: FunctionType) -> Said:
    """What the findings of a rule may say.

    Args:
        look: The rule's function; what it calls in ``headwater.diagnosis`` is followed.
    """
    said = Said()
    for function in _reachable(look):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                _note_text(said, node.value)
            elif isinstance(node, ast.JoinedStr):
                for known in _spelt(node, look):
                    _note_text(said, known)
            elif isinstance(node, ast.Call):
                _note_call(said, node, function)
        for text in _texts_in_globals(function):
            _note_text(said, text)
    return said


def _note_text(said: Said, text: str) -> None:
    if text.startswith("finding.") and has_text(text):
        _add(said.messages, text)
    if has_text(f"cause.{text}.name"):
        _add(said.causes, text)


def _note_call(said: Said, call: ast.Call, function: FunctionType) -> None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    constants = [_text_of(arg) for arg in call.args]
    if name in ("prescription", "change"):
        remedies = tuple(text.partition(":")[0] for text in constants if text)
        if remedies and all(remedy in REMEDIES for remedy in remedies):
            _add(said.prescriptions, remedies)
    elif name == "_if_plain" and constants[1:] and constants[1] in REMEDIES:
        _add(said.prescriptions, (str(constants[1]),))
    elif name == "advice" and constants and constants[0]:
        for kind in _advised(constants[0]):
            _add(said.prescriptions, (f"advice_{kind}",))
    elif name == "Evidence" and call.args:
        for statistic in _shown(call.args[0]):
            _add(said.statistics, statistic)
    if name == "against_overfitting":
        _note_listed(said, function)


def _note_listed(said: Said, function: FunctionType) -> None:
    """Remedies that are prescribed in a loop stand as plain texts in it."""
    listed = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function.__globals__["against_overfitting"]))))
    for node in listed:
        if isinstance(node, ast.Constant) and str(node.value).partition(":")[0] in REMEDIES:
            _add(said.prescriptions, (str(node.value).partition(":")[0],))


def _text_of(node: ast.expr) -> str:
    """A text as it begins: what is put in behind a colon is a strength."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else ":" for part in node.values)
    return ""


def _advised(kind: str) -> Iterator[str]:
    """An advice, or all whose name begins so."""
    stem, is_open, _ = kind.partition(":")
    candidates = ("unwrapped", "diverged") if is_open else ("",)
    for end in candidates:
        if has_text(f"prescription.advice_{stem}{end}.why"):
            yield stem + end


def _shown(node: ast.expr) -> list[str]:
    if isinstance(node, ast.JoinedStr):
        return ["rank_scale", "rank_mean"]
    return [str(node.value)] if isinstance(node, ast.Constant) else []


def _spelt(node: ast.JoinedStr, look: FunctionType) -> Iterator[str]:
    """The ids of sentences that a text with a gap in it can become: ``finding.{symptom}`` is its own symptom's."""
    parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    if not parts or not isinstance(parts[0], str) or not parts[0].startswith("finding."):
        return
    if parts[0] == "finding.":
        yield f"finding.{look.__module__.rpartition('.')[2]}"
        return
    yield from (id_ for id_ in catalog("en") if id_.startswith(parts[0]))


def _reachable(look: FunctionType) -> list[FunctionType]:
    """The function and those of ours that it calls, nearest first."""
    found, waiting = [], [look]
    while waiting:
        function = inspect.unwrap(waiting.pop(0))
        if not isinstance(function, FunctionType) or function in found or not function.__module__.startswith(OURS):
            continue
        found.append(function)
        waiting += [value for value in _globals_of(function) if callable(value) and not isinstance(value, type)]
    return found


def _globals_of(function: FunctionType) -> list[Any]:
    return [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]


def _names(code: Any) -> list[str]:
    inner = [name for const in code.co_consts if hasattr(const, "co_names") for name in _names(const)]
    return [*code.co_names, *inner]


def _texts_in_globals(function: FunctionType) -> Iterator[str]:
    """Texts in the tables that a function reads, and ids of the causes that stand ready made."""
    for value in _globals_of(function):
        if isinstance(value, dict):
            yield from (text for text in value.values() if isinstance(text, str))
        elif type(value).__name__ == "Cause":
            yield value.id


def _add(known: list[Any], new: Any) -> None:
    if new not in known:
        known.append(new)
