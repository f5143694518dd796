"""What several tests need."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headwater"
EXAMPLES = ROOT / "examples"


def python(code: str) -> str:
    """What ``code`` prints in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def headwater(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the ``headwater`` script as a user types it."""
    script = Path(sysconfig.get_path("scripts"), "headwater")
    return subprocess.run(
        [script, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def files_under(folder: Path) -> set[str]:
    """Every file below ``folder``, by its relative path."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def schema_violations(report: dict[str, Any]) -> list[str]:
    """Where a report departs from the schema as shipped and documented, not as the code at hand would make it."""
    schema = json.loads((SOURCE / "report" / "report.schema.json").read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(report)]
