"""Lay ``docs/`` out as two trees of pages, one per language, as Zensical wants them.

Sources stand side by side, ``page.md`` and ``page.ko.md``, so that they read on a plain Markdown viewer and that a page
missing in Korean is seen at once. Zensical builds one language per project, so each gets a tree of its own in which a
page has the same name: the language switch then leads to the same page. Where there is no Korean page the Korean tree
has the English one, with a sentence that says so.
"""

import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
THEME = Path(__file__).parent / "theme"
LANGUAGES = ("en", "ko")
FROM_THE_ROOT = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that stand beside ``docs/``, with their names on the site."""
ENGLISH_ONLY = "*이 쪽은 영어로만 있습니다.*"

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_SWITCH = re.compile(r" ?\*?\[(?:한국어|English)\]\([^()]*\)\*?")
_FENCE = re.compile(r"^(```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)


class LayoutError(Exception):
    """A page that cannot be laid out; the message names the page and the link at fault."""


def lay_out(target: Path) -> dict[str, list[str]]:
    """Write the tree of every language below ``target``.

    Args:
        target: Folder that is emptied first; ``target/en`` and ``target/ko`` are what Zensical reads.

    Returns:
        The pages of each language, by their names in its tree.

    Raises:
        LayoutError: If a page links to a file that is not there, or from English into Korean other than by the switch.
    """
    shutil.rmtree(target, ignore_errors=True)
    return {language: [_lay_page(name, language, target / language) for name in pages()] for language in LANGUAGES}


def pages() -> list[str]:
    """The pages of the site by name, without the language."""
    own = sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md") if not p.name.endswith(".ko.md"))
    return [_site_name(name) for name in own] + list(FROM_THE_ROOT.values())


def source_of(name: str, language: str) -> Path:
    """The file that a page is made of; the English one where there is no other."""
    for home, there in FROM_THE_ROOT.items():
        if name == there:
            return ROOT / home
    path = DOCS / name.replace("integrations/index.md", "integrations/README.md")
    korean = path.with_name(path.name.removesuffix(".md") + ".ko.md")
    return korean if language == "ko" and korean.exists() else path


def _lay_page(name: str, language: str, tree: Path) -> str:
    source = source_of(name, language)
    text = source.read_text(encoding="utf-8")
    if language == "ko" and not source.name.endswith(".ko.md"):
        text = re.sub(r"\A(# .+\n)", rf"\1\n{ENGLISH_ONLY}\n", text)
    page = tree / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("".join(_with_links(part, source, page, tree) for part in _FENCE.split(text)), encoding="utf-8")
    return name


def _with_links(text: str, source: Path, page: Path, tree: Path) -> str:
    if text.startswith("```"):
        return text
    return _LINK.sub(lambda link: _linked(link, source, page, tree), _SWITCH.sub("", text))


def _linked(link: re.Match[str], source: Path, page: Path, tree: Path) -> str:
    mark, words, target = link.groups()
    path, sharp, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link[0]
    there = (source.parent / path).resolve()
    if not there.is_file():
        raise LayoutError(f"{source.relative_to(ROOT)} links to {target}, and there is no such file")
    name = _name_on_site(there, source, target)
    if not name.endswith(".md"):
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, copy)
    if anchor and tree.name == "ko" and not there.name.endswith(".ko.md") and source_of(name, "ko") != there:
        # The chapter has an English name, and the page in Korean has it under another: the English page is meant.
        address = f"../{name.removesuffix('.md')}.html"
    else:
        address = name
    return f"{mark}[{words}]({_relative(address, page.relative_to(tree))}{sharp}{anchor})"


def _name_on_site(there: Path, source: Path, target: str) -> str:
    """What a linked file is called in the tree; files from outside ``docs/`` come along under ``files/``."""
    home = there.relative_to(ROOT).as_posix()
    if home in ("README.md", "README.ko.md"):
        return "index.md"
    if home in FROM_THE_ROOT:
        return FROM_THE_ROOT[home]
    if not there.is_relative_to(DOCS):
        return f"files/{home}"
    name = there.relative_to(DOCS).as_posix()
    if name.endswith(".ko.md"):
        if not source.name.endswith(".ko.md"):
            raise LayoutError(f"{source.relative_to(ROOT)} links to {target}: link to the English page")
        return _site_name(name.removesuffix(".ko.md") + ".md")
    return _site_name(name)


def _site_name(name: str) -> str:
    """A folder's README is its index."""
    return re.sub(r"(^|/)README\.md$", r"\1index.md", name)


def _relative(name: str, page: Path) -> str:
    return Path(os.path.relpath(name, page.parent)).as_posix()
