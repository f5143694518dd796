"""A part imports itself and what stands above it in the river, never below: nobody has to remember the direction."""

import ast
from pathlib import Path

import pytest

from tests.helpers import SOURCE

ORDER = [
    "records",
    "plugins",
    "i18n",
    "theory",
    "processes",
    "cluster",
    "store",
    "kernels",
    "probes",
    "prediction",
    "tracing",
    "diagnosis",
    "remedies",
    "report",
    "recorded",
    "server",
    "judging",
    "keeping",
    "telling",
    "watching",
    "rehearsing",
    "intervening",
    "curing",
    "asserting",
    "checking",
    "api",
    "demo",
    "lessons",
    "sweeps",
    "lab",
    "integrations",
    "testing",
    "cli",
]
# Hands on the public names of every part, so only its version may be asked for from inside.
SURFACE = "the public surface"


def modules(part: str, source: Path = SOURCE) -> list[Path]:
    """The files of a part, which is a package or a single module."""
    module = source / f"{part}.py"
    return [module] if module.is_file() else sorted((source / part).rglob("*.py"))


def imported_parts(path: Path, source: Path = SOURCE) -> set[str]:
    """The parts that a file imports anywhere in it, also under TYPE_CHECKING and inside functions."""
    package = ("headwater", *path.relative_to(source).parent.parts)
    parts: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            parts |= {_part(tuple(alias.name.split("."))) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            parts |= {_part((*module, alias.name)) for alias in node.names}
    return parts - {""}


def _part(name: tuple[str, ...]) -> str:
    if name[0] != "headwater" or name[1:] == ("__version__",):
        return ""
    return name[1] if len(name) > 1 and name[1] in ORDER else SURFACE


@pytest.mark.parametrize("part", ORDER)
def test_imports_point_up_the_river(part: str) -> None:
    files = modules(part)
    assert files, f"there is no part {part}: change ORDER and docs/architecture.md with the structure"
    allowed = ORDER[: ORDER.index(part) + 1]
    for path in files:
        for target in imported_parts(path):
            assert target in allowed, f"{path} imports {target}: move the shared piece to records/"


def test_every_part_has_its_place_in_the_order() -> None:
    entries = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert entries - {"__init__", "__main__"} == set(ORDER)


def test_architecture_page_has_a_row_per_part() -> None:
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1].rstrip("/").removesuffix(".py") for line in page.splitlines() if line.startswith("| `")]
    assert rows == ORDER


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import headwater.cli", {"cli"}),
        ("import headwater.report.terminal as t", {"report"}),
        ("from headwater import cli", {"cli"}),
        ("from headwater.cli.main import main", {"cli"}),
        ("from .. import api", {"api"}),
        ("from ..report import Report", {"report"}),
        ("from . import site", {"records"}),
        ("from .site import Site", {"records"}),
        ("def f():\n    from headwater.demo import run", {"demo"}),
        ("if TYPE_CHECKING:\n    from headwater.api import check", {"api"}),
        ("import headwater", {SURFACE}),
        ("from headwater import Report", {SURFACE}),
        ("from headwater import __version__", set()),
        ("import torch, headwaters", set()),
    ],
)
def test_checker_sees_an_import_however_it_is_written(tmp_path: Path, code: str, parts: set[str]) -> None:
    planted = tmp_path / "records" / "planted.py"
    planted.parent.mkdir()
    planted.write_text(code)
    assert modules("records", tmp_path) == [planted]
    assert imported_parts(planted, tmp_path) == parts
