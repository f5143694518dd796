"""Reading pages as a browser would, and what all of them have to keep to."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
FORBIDDEN_TAGS = {"script", "iframe", "object", "embed", "img", "link", "base", "form", "image", "use"}
FORBIDDEN_ATTRIBUTES = {"src", "style", "srcset", "action"}


class Reader(HTMLParser):
    """Reads a page as a browser would, and keeps what matters for safety and form."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def assert_harmless(content: str) -> Reader:
    """No script, no event handler, no style outside the policy's, nothing that asks for anything."""
    reader = Reader(content)
    assert not set(reader.tags) & FORBIDDEN_TAGS
    names = {name for name, _ in reader.attributes}
    assert not {name for name in names if name.startswith("on")} | (names & FORBIDDEN_ATTRIBUTES)
    assert {value[:1] for name, value in reader.attributes if name == "href" and value} <= {"#"}
    style = re.search(r"<style>(.*?)</style>", content, re.DOTALL)
    assert style
    assert "@import" not in style[1]
    assert "url(" not in style[1]
    assert set(re.findall(r"https?://[^\s\"'<>]*", content)) <= {SVG}
    return reader


def pictures(content: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", content, re.DOTALL)]


def assert_pictures_stay_inside(content: str) -> None:
    """Nothing is drawn beside the frame."""
    for drawn in pictures(content):
        _, _, width, height = map(float, drawn.attrib["viewBox"].split())
        for shape in drawn.iter():
            for name, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                if name in shape.attrib and shape.tag != f"{{{SVG}}}pattern":
                    assert -0.1 <= float(shape.attrib[name]) <= limit + 0.1, ElementTree.tostring(shape)


def assert_policy_admits_its_own_style_only(content: str) -> None:
    style = re.search(r"<style>(.*?)</style>", content, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'sha256-" + digest + "'; base-uri 'none'; form-action 'none'"
    assert policy in [value for _, value in Reader(content).attributes]
