"""The pages' scripts, a run's and the lab's, are what `web/` says, and stay small; found out without Node."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import ROOT

WEB = ROOT / "web"
PACKAGE = ROOT / "src" / "headwater"
OTHERS = ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "scripts/build.mjs")
MOST_BYTES = 250_000
FIX = "web/ has changed since the bundle was built: run `make web`, and commit src/headwater/report/web and lab/web"


def source_hash() -> str:
    """As web/scripts/build.mjs computes it."""
    names = [path.relative_to(WEB).as_posix() for path in (WEB / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*names, *OTHERS]):
        digest.update(name.encode() + b"\0" + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """What was built for one page.

    Attributes:
        name: Of its files.
        folder: Where they lie.
    """

    name: str
    folder: Path

    @property
    def script(self) -> str:
        return (self.folder / f"{self.name}.js").read_text(encoding="utf-8")

    @property
    def style(self) -> str:
        return (self.folder / f"{self.name}.css").read_text(encoding="utf-8")

    @property
    def stamp(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "bundle.json").read_text())
        return found


BUNDLES = [Bundle("app", PACKAGE / "report" / "web"), Bundle("lab", PACKAGE / "lab" / "web")]
each = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)


@each
def test_bundle_was_built_from_the_source_as_it_is(bundle: Bundle) -> None:
    assert bundle.stamp["source"] == source_hash(), FIX


@each
def test_bundle_is_as_it_was_built(bundle: Bundle) -> None:
    for kind, content in (("script", bundle.script), ("style", bundle.style)):
        assert bundle.stamp[kind] == hashlib.sha256(content.encode()).hexdigest(), FIX


@each
def test_bundle_is_small(bundle: Bundle) -> None:
    assert sum(path.stat().st_size for path in bundle.folder.iterdir()) <= MOST_BYTES


@each
def test_bundle_can_stand_inside_a_page(bundle: Bundle) -> None:
    assert "</script" not in bundle.script
    assert "<!--" not in bundle.script
    assert "</style" not in bundle.style


@each
def test_bundle_runs_no_text_as_code_and_asks_nobody(bundle: Bundle) -> None:
    assert not re.search(r"\beval\(|new Function\(|document\.write", bundle.script)
    ours = "\n".join(path.read_text(encoding="utf-8") for path in (WEB / "src").rglob("*.ts*"))
    assert not re.search(r"innerHTML|dangerouslySetInnerHTML|insertAdjacentHTML", ours, re.IGNORECASE)
    addresses = set(re.findall(r"https?://[\w./-]+", bundle.script + bundle.style))
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
