"""From a gradient budget to named causes with shares."""

import math

from headwater.diagnosis.waterfall import power
from headwater.records import Cause, Flow, Message, Waterfall, WaterfallBar
from headwater.theory import ACTIVATIONS

_NEGLIGIBLE_SHARE = 0.005  # causes below half a percent are folded into the largest; their shares still count
SATURATED_SHARE = 0.5  # of elements; the reference "saturation share above 50 % in several layers"

_LOSING = {"weights": "weights_too_small"}
_GAINING = {"weights": "weights_too_large"}
_EITHER = {
    "activation": "activation_derivative",
    "saturated": "saturated_activation",
    "alignment": "weight_alignment",
    "normalization": "normalization_misuse",
    "shortcut": "shortcut_sum",
    "pooling": "other_operations",
    "other": "other_operations",
}


def causes_of_decades(flow: Flow, budget: Waterfall) -> tuple[Cause, ...]:
    """Who took (or added) the decades between the last site and the first, largest share first.

    Shares are of the total and sum to 1. What works against the total is gathered into one cause,
    ``counteracting``, whose share is negative.
    """
    decades: dict[str, float] = {}
    sites: dict[str, int] = {}
    for bar in budget.bars:
        cause = _cause_id(flow, bar, losing=budget.decades < 0)
        decades[cause] = decades.get(cause, 0.0) + bar.decades
        sites[cause] = sites.get(cause, 0) + 1
    return _as_causes(_folded(decades, budget.decades), sites, budget)


def _cause_id(flow: Flow, bar: WaterfallBar, losing: bool) -> str:
    category = bar.category
    if category == "activation" and bar.site is not None:
        row = flow.site(bar.site)
        if (row.saturated_fraction or 0.0) > SATURATED_SHARE and is_s_shaped(row.site.activation):
            category = "saturated"
    return (_LOSING if losing else _GAINING).get(category) or _EITHER[category]


def is_s_shaped(activation: str | None) -> bool:
    """Whether an activation flattens on both sides, so that it can saturate."""
    return activation is not None and ACTIVATIONS[activation].family == "s_shaped"


def _folded(decades: dict[str, float], total: float) -> dict[str, float]:
    """Opposing causes gathered into one, negligible ones given to the largest."""
    with_total = {cause: part for cause, part in decades.items() if part * total > 0}
    against = math.fsum(part for part in decades.values() if part * total <= 0)
    largest = max(with_total, key=lambda cause: abs(with_total[cause]))
    kept = {cause: part for cause, part in with_total.items() if abs(part / total) >= _NEGLIGIBLE_SHARE}
    rest = math.fsum(part for cause, part in with_total.items() if cause not in kept)
    kept = kept or {largest: 0.0}
    kept[largest] = kept.get(largest, 0.0) + rest
    if abs(against / total) >= _NEGLIGIBLE_SHARE:
        kept["counteracting"] = against
    else:
        kept[largest] += against
    return kept


def _as_causes(decades: dict[str, float], sites: dict[str, int], budget: Waterfall) -> tuple[Cause, ...]:
    ordered = sorted(decades.items(), key=lambda item: -item[1] / budget.decades)
    return tuple(
        Cause(
            id=cause,
            share=part / budget.decades,
            why=Message(
                f"cause.{cause}.why",
                {
                    "decades": abs(part),
                    "sites": sites.get(cause, 0),
                    "factor": power(part / max(1, sites.get(cause, 1))),
                },
            ),
        )
        for cause, part in ordered
    )
