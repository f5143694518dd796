"""The schemas of what is said of runs are those that are shipped and documented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from headwater.recorded import schema
from headwater.report.schema import as_json
from tests.helpers import ROOT, SOURCE, with_generated


@pytest.mark.parametrize("kind", schema.KINDS)
def test_schema_is_as_shipped_and_documents_every_field(kind: str, golden: Callable[[Path, str], None]) -> None:
    found = schema.schema(kind)
    golden(SOURCE / "report" / f"{kind}.schema.json", as_json(found))
    jsonschema.Draft202012Validator.check_schema(found)
    for name, definition in found["$defs"].items():
        for field, of_field in definition["properties"].items():
            assert field == "schema" or of_field.get("description"), f"{name}.{field}"


def test_docs_list_every_field(golden: Callable[[Path, str], None]) -> None:
    page = ROOT / "docs" / "json.md"
    golden(page, with_generated(page, "the records of runs", schema.field_tables()))
