"""What does not depend on any network: controls with their limits, activations with their curves, data, lessons."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from headwater.lab.controls import CONTROLS, Control
from headwater.lab.guides import GUIDES
from headwater.lab.plan import MOST_PARAMETERS, SHAPES
from headwater.lab.said import in_both, told
from headwater.lab.spec import Spec
from headwater.lessons.registry import ORDER
from headwater.records import Message, encode
from headwater.report.view.sentences import said
from headwater.theory import ACTIVATIONS

_X = np.linspace(-6.0, 6.0, 121)
PRESETS = {
    "mlp": {},
    "cnn": {"preset": "cnn", "depth": 10, "width": 16, "activation": "relu", "init": "he", "data": "digits"},
    "rnn": {"preset": "rnn", "depth": 2, "width": 32, "activation": "tanh", "init": "default", "data": "digits"},
}
"""What to set where a kind of network is chosen, so that its parts go together."""


@cache
def facts() -> dict[str, Any]:
    """All of it, as JSON."""
    data: dict[str, Any] = encode(
        {
            "defaults": Spec().to_dict(),
            "state": Spec().to_state(),
            "controls": [_control(control) for control in CONTROLS.values()],
            "activations": [_activation(id) for id in ACTIVATIONS],
            "presets": PRESETS,
            "data": [
                {
                    "id": id,
                    "task": shape.task,
                    "inputs": shape.inputs,
                    "outputs": shape.outputs,
                    "plane": shape.inputs <= 2,
                    "name": told(Message(f"lab.engine.choice.{id}")),
                }
                for id, shape in SHAPES.items()
            ],
            "lessons": [{"id": id, "title": _title(id), "guide": id in GUIDES} for id in ORDER],
            "limits": {"parameters": MOST_PARAMETERS},
        }
    )
    return data


def _title(lesson: str) -> dict[str, str]:
    return in_both(said(lambda words: words(f"lesson.{lesson}.title")))


def _control(control: Control) -> dict[str, Any]:
    kind = "activation" if control.id in ("activation", "activations", "output") else "choice"
    named = control.id not in ("locked", "hidden", "lesson")
    return {
        "id": control.id,
        "kind": control.kind,
        "low": control.low,
        "high": control.high,
        "log": control.log,
        "live": control.live,
        "name": told(Message(f"lab.engine.control.{control.id}")),
        "choices": [
            {"id": choice, "name": told(Message(f"lab.engine.{kind}.{choice}"))} for choice in control.choices if named
        ],
    }


def _activation(id: str) -> dict[str, Any]:
    entry = ACTIVATIONS[id]
    return {
        "id": id,
        "name": told(Message(f"lab.engine.activation.{id}")),
        "family": entry.family,
        "init": entry.init,
        "max_slope": entry.max_slope(),
        "x": _X.tolist(),
        "phi": entry.phi(_X).tolist(),
        "slope": entry.derivative(_X).tolist(),
    }
