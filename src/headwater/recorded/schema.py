"""The JSON Schemas of what the commands about runs print, generated from the records; a test compares them."""

from __future__ import annotations

from typing import Any

from headwater.records.recorded import Comparison, RunList
from headwater.records.why import Why
from headwater.report.schema import documented, field_table

KINDS: dict[str, type] = {"why": Why, "comparison": Comparison, "runs": RunList}
"""By the name of the file, ``<name>.schema.json`` beside those of the report."""


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of :data:`KINDS`."""
    return {"$id": f"urn:headwater:{kind}:1", "title": f"headwater {kind}", **documented(KINDS[kind])}


def field_tables() -> str:
    """Every object's fields as Markdown, each once; a message is as in a report."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        found |= {name: d for name, d in schema(kind)["$defs"].items() if name != "Message"}
    return "\n".join(field_table(name, definition) for name, definition in found.items())
