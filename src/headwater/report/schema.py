"""The JSON Schemas of what headwater says, generated from the records, and the tables that document them.

They stand in files beside this one, such as ``report.schema.json``, so that they can be read without Python; a test
compares.
"""

import dataclasses
import inspect
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, get_args, get_type_hints

from headwater.records import Proof, schema_of
from headwater.records.codec import NON_FINITE
from headwater.records.flow import COLUMNS
from headwater.report.cure import Cure
from headwater.report.lessons import PARTS, LessonsReport
from headwater.report.payload import Report
from headwater.report.trace import Trace
from headwater.report.view import View

ID = "urn:headwater:report:1"
FILE = "report.schema.json"
LESSONS_ID = "urn:headwater:lessons:1"
LESSONS_FILE = "lessons.schema.json"
TRACE_ID = "urn:headwater:trace:1"
TRACE_FILE = "trace.schema.json"
CURE_ID = "urn:headwater:cure:1"
CURE_FILE = "cure.schema.json"
PROOF_ID = "urn:headwater:proof:2"
PROOF_FILE = "proof.schema.json"
VIEW_ID = "urn:headwater:view:1"
VIEW_FILE = "view.schema.json"
NUMBER = {"anyOf": [{"type": "number"}, {"enum": list(NON_FINITE)}]}
# Columns of the flat table that are no attribute of SiteFlow under the same name.
COLUMN_NOTES = {
    "site": "Name of the site.",
    "op": "Class name of the module, or name of the function.",
    "order": "Place in execution order, from 0.",
    "activation_rms": "Root mean square of the output's finite elements, in units of the output.",
    "activation_grad_rms": "Root mean square of ∂loss/∂output; null if no gradient arrived; 0 also below 5e-324.",
    "forward_gain": "Rms of the output over rms of the input, dimensionless.",
    "backward_gain": "Rms of the gradient at the input over rms of the gradient at the output, dimensionless.",
    "zero_fraction": "Share of the output's elements that are exactly zero, 0 to 1.",
}
TEXT_NOTES = {
    "title": "What it is about, in a few words.",
    "claim": "As the lecture teaches it.",
    "seen": "What the experiment showed, with its numbers.",
    "why": "The reason.",
    "caveat": "Where the lecture simplifies; `null` where it does not.",
}
MESSAGE_NOTES = {
    "Message": {
        "id": "Which sentence; the same in every language and version that knows it.",
        "values": "What stands at its placeholders.",
    }
}


@cache
def report_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`Report.to_dict`."""
    schema = documented(Report)
    definitions = schema["$defs"]
    table = {"description": "The flow as a flat table, one row per site in execution order.", "type": "array"}
    _require(definitions["Report"], "table", {**table, "items": {"$ref": "#/$defs/TableRow"}})
    definitions["TableRow"] = _row_schema(definitions["SiteFlow"])
    return {"$id": ID, "title": "headwater report", **schema}


@cache
def lessons_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`LessonsReport.to_dict`."""
    schema = documented(LessonsReport)
    definitions = schema["$defs"]
    holds = {"description": "Whether all claims held.", "type": "boolean"}
    _require(definitions["LessonsReport"], "holds", holds)
    text = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    definitions["LessonTexts"] = {
        "type": "object",
        "description": "What a lesson says, in `language`.",
        "properties": {part: {"description": TEXT_NOTES[part], **text} for part in PARTS},
        "required": list(PARTS),
    }
    texts = {"description": "The lesson in words.", "$ref": "#/$defs/LessonTexts"}
    _require(definitions["LessonResult"], "texts", texts)
    return {"$id": LESSONS_ID, "title": "headwater lessons", **schema}


@cache
def trace_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`Trace.to_dict`."""
    return {"$id": TRACE_ID, "title": "headwater trace", **documented(Trace)}


@cache
def cure_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`Cure.to_dict`."""
    return {"$id": CURE_ID, "title": "headwater cure", **documented(Cure)}


@cache
def proof_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`ProofReport.to_dict`: a proof by itself."""
    return {"$id": PROOF_ID, "title": "headwater proof", **documented(Proof)}


@cache
def view_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of :meth:`View.to_dict`."""
    schema = schema_of(View)
    _note(schema["$defs"], _records(View))
    return {"$id": VIEW_ID, "title": "headwater view", **schema}


def stored_schema(file: str = FILE) -> dict[str, Any]:
    """The schema as it was shipped."""
    stored: dict[str, Any] = json.loads(files("headwater.report").joinpath(file).read_text(encoding="utf-8"))
    return stored


def as_json(schema: dict[str, Any] | None = None) -> str:
    """The schema, by default that of reports, as it stands in the file."""
    return json.dumps(schema or report_schema(), indent=1, ensure_ascii=False) + "\n"


def field_tables() -> str:
    """Every object's fields as Markdown, the report itself first."""
    return "\n".join(field_table(name, definition) for name, definition in report_schema()["$defs"].items())


def lesson_field_tables() -> str:
    """The same for lessons; a message is as in a report."""
    definitions = lessons_schema()["$defs"]
    return "\n".join(field_table(name, definitions[name]) for name in definitions if name != "Message")


def trace_field_tables() -> str:
    """The same for a trace; what a report holds as well is told there."""
    definitions, known = trace_schema()["$defs"], report_schema()["$defs"]
    return "\n".join(field_table(name, definitions[name]) for name in definitions if name not in known)


def cure_field_tables() -> str:
    """The same for a cure; what a report holds as well is told there."""
    definitions, known = cure_schema()["$defs"], report_schema()["$defs"]
    return "\n".join(field_table(name, definitions[name]) for name in definitions if name not in known)


def view_field_tables() -> str:
    """The same for a view."""
    return "\n".join(field_table(name, definition) for name, definition in view_schema()["$defs"].items())


def documented(root: type) -> dict[str, Any]:
    """The schema of a record, each field with what its docstring says of it, and what words add."""
    schema = schema_of(root)
    definitions = schema["$defs"]
    _note(definitions, _records(root))
    if "Message" in definitions:
        _require(
            definitions["Message"], "text", {"description": "The message in words, in `language`.", "type": "string"}
        )
        definitions["Message"]["description"] = "A sentence: its id, what goes into it, and how it reads."
    language = {"description": "Language of every `text`.", "enum": ["en", "ko"]}
    _require(definitions[root.__name__], "language", language)
    return schema


def _note(definitions: dict[str, Any], records: dict[str, type]) -> None:
    """Put beside each field what its record's docstring says of it."""
    for name, definition in definitions.items():
        for field, note in {**_attribute_notes(records[name]), **MESSAGE_NOTES.get(name, {})}.items():
            if field in definition["properties"]:
                definition["properties"][field] = {"description": note, **definition["properties"][field]}


def _records(root: Any) -> dict[str, type]:
    """A record and all that it holds, by name."""
    found: dict[str, type] = {}
    waiting = [root]
    while waiting:
        hint = waiting.pop()
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if hint.__name__ in found:
                continue
            found[hint.__name__] = hint
            waiting += [get_type_hints(hint)[field.name] for field in dataclasses.fields(hint)]
        waiting += get_args(hint)
    return found


def _attribute_notes(record: type) -> dict[str, str]:
    """What a record's docstring says of each attribute; of one that has more than another, also that one's."""
    sections = [inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2] for kind in reversed(record.__mro__)]
    parts = [section.split("\n\n")[0] for section in sections]
    found = [one for part in parts for one in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", part, flags=re.MULTILINE)]
    return {name: re.sub(r"\s+", " ", note).replace("``", "`").replace("`None`", "`null`") for name, note in found}


def _require(definition: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    definition["properties"][name] = schema
    definition["required"].append(name)


def _row_schema(site_flow: dict[str, Any]) -> dict[str, Any]:
    """The row of the flat table: the columns of :data:`COLUMNS`."""
    kinds: dict[str, dict[str, Any]] = {
        "site": {"type": "string"},
        "op": {"type": "string"},
        "order": {"type": "integer"},
    }
    properties = {}
    for name in COLUMNS:
        note = COLUMN_NOTES.get(name) or site_flow["properties"][name]["description"]
        kind = kinds.get(name, {"anyOf": [*NUMBER["anyOf"], {"type": "null"}]})
        properties[name] = {"description": note, **kind}
    return {
        "type": "object",
        "description": "One site of the flat table.",
        "properties": properties,
        "required": list(properties),
    }


def field_table(name: str, definition: dict[str, Any]) -> str:
    """An object's fields as Markdown."""
    lines = [f"### {name}", "", definition["description"], "", "| field | type | meaning |", "|---|---|---|"]
    for field, schema in definition["properties"].items():
        note = schema.get("description", "Which schema this object follows." if field == "schema" else "")
        lines.append(f"| `{field}` | {_type_name(schema)} | {note.replace('|', '&#124;')} |")
    return "\n".join([*lines, ""])


def _type_name(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    if "enum" in schema:
        return ", ".join(f'`"{value}"`' for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_name(option) for option in _known(schema["anyOf"])))
    if "prefixItems" in schema:
        return f"[{', '.join(_type_name(item) for item in schema['prefixItems'])}]"
    if schema["type"] == "array":
        return f"array of {_type_name(schema['items'])}"
    if schema["type"] == "object":
        return f"object of {_type_name(schema['additionalProperties'])}"
    return str(schema["type"])


def _known(options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A number is a number: the strings for what is not finite are told once, at the top of the page."""
    return [option for option in options if option.get("enum") != list(NON_FINITE)]
