"""The page's script is what `web/` says, and stays small; found out without Node."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headwater.report.view.page import script, style
from tests.helpers import ROOT

WEB = ROOT / "web"
BUILT = ROOT / "src" / "headwater" / "report" / "web"
OTHERS = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "scripts/build.mjs")
MOST_BYTES = 250_000
FIX = "web/ has changed since the bundle was built: run `make web`, and commit src/headwater/report/web"


def source_hash() -> str:
    """As web/scripts/build.mjs computes it."""
    names = [path.relative_to(WEB).as_posix() for path in (WEB / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*names, *OTHERS]):
        digest.update(name.encode() + b"\0" + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


def stamp() -> dict[str, str]:
    return json.loads((BUILT / "bundle.json").read_text())


def test_bundle_was_built_from_the_source_as_it_is() -> None:
    assert stamp()["source"] == source_hash(), FIX


def test_bundle_is_as_it_was_built() -> None:
    for kind, name in (("script", "app.js"), ("style", "app.css")):
        assert stamp()[kind] == hashlib.sha256((BUILT / name).read_bytes()).hexdigest(), FIX


def test_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in BUILT.iterdir()) <= MOST_BYTES


def test_bundle_can_stand_inside_a_page() -> None:
    assert "</script" not in script()
    assert "<!--" not in script()
    assert "</style" not in style()


def test_bundle_runs_no_text_as_code_and_asks_nobody() -> None:
    assert not re.search(r"\beval\(|new Function\(|document\.write", script())
    ours = "\n".join(path.read_text(encoding="utf-8") for path in (WEB / "src").rglob("*.ts*"))
    assert not re.search(r"innerHTML|dangerouslySetInnerHTML|insertAdjacentHTML", ours, re.IGNORECASE)
    addresses = set(re.findall(r"https?://[\w./-]+", script() + style()))
    assert addresses <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
        "http://www.w3.org/1999/xhtml",
    }


def test_lock_file_names_no_place_to_download_from() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


@pytest.mark.skipif(not shutil.which("npm"), reason="no npm on this machine")
@pytest.mark.skipif(not Path(WEB / "node_modules" / ".installed").exists(), reason="web/node_modules is not installed")
def test_bundle_built_again_is_the_same() -> None:
    done = subprocess.run(["npm", "run", "--silent", "check"], cwd=WEB, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
