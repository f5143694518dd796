"""The table of the docs is about what is there, and its code blocks are Python."""

import ast
import re
from pathlib import Path

import pytest

from headwater.integrations.loggers import BUILT_IN
from tests.helpers import ROOT, SOURCE

DOCS = ROOT / "docs" / "integrations"
SHARED = {"__init__", "attached", "keras_steps", "lightning_loggers", "loggers", "missing", "reported_to", "shifted"}
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "docs" / "plugins.md"]


def rows() -> list[list[str]]:
    lines = (DOCS / "README.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]


def test_every_integration_has_a_row_with_its_test_and_its_example() -> None:
    extras = {"transformers", "lightning", "accelerate", "keras", "skorch", "ignite", *BUILT_IN}
    files = {path.stem for path in (SOURCE / "integrations").glob("*.py")} - SHARED
    assert files == extras | {"fabric"}
    assert {row[2] for row in rows()} == extras
    for row in rows():
        assert (ROOT / row[4]).is_file(), row[4]
        assert (ROOT / row[5]).is_file(), row[5]
        page = re.search(r"\((\w+\.md)", row[0])
        assert page is not None
        assert (DOCS / page[1]).is_file(), page[1]


def test_every_extra_is_one_of_the_package() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {row[2] for row in rows()} <= extras.keys()


@pytest.mark.parametrize("path", sorted((SOURCE / "integrations").glob("*.py")), ids=lambda path: path.stem)
def test_an_integration_is_one_small_file(path: Path) -> None:
    shared = path.stem in SHARED
    assert len(path.read_text(encoding="utf-8").splitlines()) <= (130 if shared else 80)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_blocks_parse_and_import_what_there_is(page: Path) -> None:
    for block in re.findall(r"```python[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headwater"):
                home = SOURCE.joinpath(*(node.module or "").split(".")[1:])
                source = home.with_suffix(".py") if home.with_suffix(".py").is_file() else home / "__init__.py"
                for alias in node.names:
                    assert alias.name in source.read_text(encoding="utf-8"), f"{page.name}: {node.module}.{alias.name}"
