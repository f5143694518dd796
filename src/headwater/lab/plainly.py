"""What a finding means to somebody who learns: layers by number as the picture counts them, sizes as powers of ten."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from headwater.i18n import has_text, number
from headwater.lab.plan import Plan
from headwater.records import Cause, Finding, Flow, Message
from headwater.records.message import Value
from headwater.report.view.sentences import Said, said, said_message
from headwater.report.words import Words

STILL = 1e-5
"""‖Δw‖/‖w‖ of a layer that hardly learns: a hundredth of the usual 1e-3 (CS231n notes, "Ratio of weights:updates")."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WRITTEN_OUT = 6  # decades; beyond, a power of ten says more
_NAMES = {"site": "layer", "last": "last_layer"}
"""Values of a message that name a site, and the place its layer's number takes in a plain text."""


def plain_of(finding: Finding, flow: Flow, plan: Plan, moves: Mapping[int, float], optimizer: str) -> Said:
    """The finding in one plain sentence; where there is none for it, in its own words.

    Args:
        finding: What was found.
        flow: Where.
        plan: Whose layers are meant.
        moves: By layer, ‖Δw‖/‖w‖ of a step.
        optimizer: That takes it.
    """
    key = finding.message.id.removeprefix("finding.").removeprefix("lab.engine.")
    if key == "vanishing" and moves.get(layer_of(flow, plan, str(finding.message.values.get("site"))), 0.0) >= STILL:
        key = "vanishing_moves"
    if not has_text(f"lab.engine.plain.{key}"):
        return said_message(finding.message)
    return said_message(Message(f"lab.engine.plain.{key}", {"optimizer": optimizer, **_values(finding, flow, plan)}))


def with_layers(cause: Cause, flow: Flow, plan: Plan) -> Said:
    """The reason behind a cause, with layers in the place of the names of sites."""
    named = {name for name in _NAMES if isinstance(cause.why.values.get(name), str)}

    def sentence(words: Words) -> str:
        layers = {
            name: words("lab.engine.layer", layer=layer_of(flow, plan, str(cause.why.values[name]))) for name in named
        }
        return words.say(replace(cause.why, values={**cause.why.values, **layers}))

    return said(sentence)


def layer_of(flow: Flow, plan: Plan, name: str) -> int:
    """The number of the layer that a site, module or parameter belongs to; of what lies between two, the one before."""
    modules = {row.site.name: row.site.module for row in flow.sites}
    found = plan.layer_of(modules.get(name, name))
    if found:
        return found
    before = 1
    for row in flow.sites:
        if row.site.name == name or row.site.module == name:
            break
        before = plan.layer_of(row.site.module) or before
    return before


def times(decades: float) -> str:
    """A factor of so many decades as people read it, to two digits: ``1,300``, ``10¹²``."""
    if not math.isfinite(decades):
        return number(math.inf)
    if decades >= _WRITTEN_OUT:
        return f"10{str(round(decades)).translate(_RAISED)}"
    return number(round(float(f"{10**decades:.2g}")))


def _values(finding: Finding, flow: Flow, plan: Plan) -> dict[str, Value]:
    values = dict(finding.message.values)
    for name, layer in _NAMES.items():
        if isinstance(values.get(name), str):
            values[layer] = layer_of(flow, plan, str(values[name]))
    decades = values.get("decades")
    if isinstance(decades, (int, float)):
        values["times"] = times(abs(decades))
    return values
