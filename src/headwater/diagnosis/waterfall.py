"""The chain rule read as a budget: which operation took how many decades of the gradient."""

import math
from collections import defaultdict

from headwater.records import Flow, Path, PathStep, Waterfall, WaterfallBar

# Kind of operation → what its decades are charged to. An affine map is split further, into scale and alignment.
_CATEGORY = {"activation": "activation", "normalization": "normalization", "pooling": "pooling", "affine": "weights"}


def waterfall(flow: Flow) -> Waterfall | None:
    """The gradient's budget from the last site back to the first, ``None`` where no gradient reached a site.

    The ratio of an affine map is what its weights' scale does to a gradient of any direction (``weights``) times what
    the gradient's alignment with them adds (``alignment``). That of an activation is the derivative it really applied.
    A ``shortcut`` is what other branches add where they meet the path. All parts sum to the decades of the path.

    Source:
        ∂pₙ/∂w₁ = Π ∂aᵢ/∂pᵢ₋₁ · Π wᵢ · x, in logarithms.
    """
    if flow.path is None:
        return None
    bars = tuple(bar for step in flow.path.steps for bar in _bars(step))
    return Waterfall(
        first=flow.path.first,
        last=flow.path.last,
        log10_first=flow.path.log10_first,
        log10_last=flow.path.log10_last,
        bars=bars,
        totals=_totals(bars),
    )


def affine_layers(path: Path) -> int:
    """Number of affine maps that have both ends on the path, the first layer's own not among them."""
    return sum(step.kind == "affine" and step.part == "operation" for step in path.steps)


def norm_decades(path: Path) -> float:
    """log₁₀ of ‖∂loss/∂first‖ over ‖∂loss/∂last‖ along the path, without what pooling does; 0 where nothing is lost.

    Norms, not rms: a gradient spread over a larger feature map has a smaller rms without having lost anything. Pooling
    is left out because the weights before it add up over the positions that it divides the gradient among.
    """
    return math.fsum(step.log10_norm_gain for step in path.steps if step.kind != "pooling")


def depth_decades(path: Path) -> float:
    """:func:`norm_decades` without the one operation that takes most: what is left of them is spread over the depth."""
    return norm_decades(path) - min((s.log10_norm_gain for s in path.steps if s.kind != "pooling"), default=0.0)


def power(log10: float) -> float:
    """10**log10, infinite where no float64 can hold it."""
    return 10.0**log10 if log10 < 308 else math.inf


def _bars(step: PathStep) -> list[WaterfallBar]:
    if step.part == "join":
        return [WaterfallBar(step.site, step.op, "shortcut", step.log10_gain)]
    if step.kind == "affine" and step.weight_gain:
        scale = math.log10(step.weight_gain)
        return [
            WaterfallBar(step.site, step.op, "weights", scale),
            WaterfallBar(step.site, step.op, "alignment", step.log10_gain - scale),
        ]
    return [WaterfallBar(step.site, step.op, _CATEGORY.get(step.kind, "other"), step.log10_gain)]


def _totals(bars: tuple[WaterfallBar, ...]) -> dict[str, float]:
    parts: dict[str, list[float]] = defaultdict(list)
    for bar in bars:
        parts[bar.category].append(bar.decades)
    totals = {category: math.fsum(decades) for category, decades in parts.items()}
    return dict(sorted(totals.items(), key=lambda item: -abs(item[1])))
