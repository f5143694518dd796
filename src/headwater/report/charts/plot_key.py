"""How the curves of a picture look, and the key that says so."""

from headwater.records.picture import Curve, Picture
from headwater.report.charts.plot_lanes import broken_places, exact_zeros
from headwater.report.charts.plot_marks import Look, swatch
from headwater.report.charts.plot_raster import has_holes
from headwater.report.markup import Html, el, join
from headwater.report.words import Words

MOST_SHARED_LOOKS = 8  # more curves than these are told apart panel by panel

Looks = dict[str, Look]


def plot_key(drawn: Picture, words: Words) -> Html:
    """What the lines and marks mean: once for the picture, or for each panel where there are too many to share."""
    looks = looks_of(drawn, words)
    if len(drawn.panels) > 1 and looks[0] is not looks[-1]:
        return join(
            *[
                el("ul", el("li", el("b", words.say(panel.title))), *_key_items(panel.curves, own, words), class_="key")
                for panel, own in zip(drawn.panels, looks, strict=True)
            ],
            _lane_key(drawn, words),
        )
    curves = {words.say(curve.name): curve for panel in reversed(drawn.panels) for curve in panel.curves}
    ordered = [curves[name] for name in looks[0]] if looks else []
    items = [*_key_items(tuple(ordered), looks[0] if looks else {}, words), *_lane_items(drawn, words)]
    return el("ul", *items, class_="key") if items else Html("")


def looks_of(drawn: Picture, words: Words) -> list[Looks]:
    """How each panel's curves look, by name: the same in all panels, if there are enough looks for that."""
    shared = _numbered([curve for panel in drawn.panels for curve in panel.curves], words)
    if sum(not look.is_reference for look in shared.values()) <= MOST_SHARED_LOOKS:
        return [shared] * len(drawn.panels)
    return [_numbered(list(panel.curves), words) for panel in drawn.panels]


def _numbered(curves: list[Curve], words: Words) -> Looks:
    looks: Looks = {}
    for curve in curves:
        alike = sum(look.is_reference == curve.is_reference for look in looks.values())
        looks.setdefault(words.say(curve.name), Look(alike, curve.is_reference))
    return looks


def _key_items(curves: tuple[Curve, ...], looks: Looks, words: Words) -> list[Html]:
    return [el("li", swatch(curve, looks[words.say(curve.name)]), words.say(curve.name)) for curve in curves]


def _lane_items(drawn: Picture, words: Words) -> list[Html]:
    shapes = {
        "zero": '<path d="M5 1h14v10h-14z" class="zero"/><path d="M5 7l6-6M5 11l10-10M10 11l9-9" class="hatch-line"/>',
        "nonfinite": '<path d="M6 0h12v12h-12z" class="broken"/><path d="M8 2l8 8M8 10l8-8" class="broken-cross"/>',
    }
    present = {
        "zero": any(exact_zeros(panel) for panel in drawn.panels),
        "nonfinite": any(broken_places(panel) or (panel.raster and has_holes(panel.raster)) for panel in drawn.panels),
    }

    def mark(name: str) -> Html:
        return el(
            "svg", Html(shapes[name]), xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true"
        )

    return [el("li", mark(name), words(f"report.key_{name}")) for name, is_there in present.items() if is_there]


def _lane_key(drawn: Picture, words: Words) -> Html:
    items = _lane_items(drawn, words)
    return el("ul", *items, class_="key") if items else Html("")
