"""Remedies as controls show them: what has a control of its own is set there, and gives the very same network."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from headwater.lab.controls import CONTROLS, INITS
from headwater.lab.plan import hidden_activations, tailoring
from headwater.lab.spec import Spec


def with_remedies(spec: Spec, remedies: tuple[str, ...]) -> Spec:
    """The spec of a network that remedies are applied to.

    An activation in every hidden layer, a standard initialisation and a penalty have controls; everything else, and
    everything after remedies that have none, stands in ``remedies`` and is applied when the network is made.

    Args:
        spec: Of the network as it is.
        remedies: Ids, in order.

    Raises:
        RefusedError: If there are too many.
    """
    values: dict[str, Any] = {}
    rest = list(spec.remedies)
    for remedy in remedies:
        control = _control(remedy, spec) if not rest else None
        if control is None:
            rest.append(remedy)
        else:
            values |= control
    return spec.changed({**values, "remedies": rest})


def _control(remedy: str, spec: Spec) -> dict[str, Any] | None:
    """The controls that make the change of a remedy, ``None`` if none do."""
    family, _, name = remedy.partition(".")
    if family == "activation" and name in CONTROLS["activation"].choices and spec.preset != "rnn":
        return {"activation": name, "activations": {}}
    if remedy == tailoring(hidden_activations(spec)) and not spec.residual and spec.normalisation == "none":
        return {"init": "tailored", "scale": 1.0, "bias": 0.0} if spec.preset != "rnn" else None
    if family == "init" and name in INITS and spec.preset != "rnn":
        return {"init": name, "scale": 1.0, "bias": 0.0}
    kind, colon, strength = name.partition(":")
    if remedy.startswith("optimisation.learning_rate_to:"):
        with suppress(ValueError):
            return {"learning_rate": float(name.partition(":")[2])}
    if family == "regularisation" and kind in ("l1", "l2") and colon and not getattr(spec, kind):
        with suppress(ValueError):  # no number: the remedy itself says so
            return {kind: float(strength)}
    return None
