"""Elements for HTML and SVG, escaped by construction: only :class:`Html` is markup, any other string is text."""

from html import escape

from headwater.report.names import clean, clean_code

VOID = {"meta", "br", "link"}

Attribute = str | int | float | bool | None


class Html(str):
    """A string that is markup already."""

    __slots__ = ()


def el(name: str, /, *children: "Html | str | int | None", **attributes: Attribute) -> Html:
    """One element. Children that are no :class:`Html` are cleaned and escaped; ``None`` is nothing.

    Attribute names lose a trailing underscore, the others become dashes (``class_``, ``aria_label``); those that are
    ``None`` or ``False`` are left out. All tags are closed, so that an SVG is well-formed XML.

    Example:
        >>> el("p", "1 < 2", class_="lead")
        '<p class="lead">1 &lt; 2</p>'
    """
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in VOID:
        return Html(f"{opened}>")
    return Html(f"{opened}>{join(*children)}</{name}>")


def join(*children: "Html | str | int | None") -> Html:
    """Children one after the other, escaped where they are text."""
    return Html("".join(_child(child) for child in children))


def code(text: str) -> Html:
    """Program text, its lines kept."""
    return el("pre", el("code", Html(escape(clean_code(text)))), tabindex=0)


def _child(child: "Html | str | int | None") -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else escape(clean(str(child)))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f' {name}=""'
    if isinstance(value, float):
        return f' {name}="{compact(value)}"'
    return f' {name}="{escape(clean(str(value)))}"'


def compact(value: float) -> str:
    """A coordinate to a tenth of a unit; a page of pictures is mostly these."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown
