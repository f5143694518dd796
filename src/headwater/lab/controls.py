"""What can be set in the lab: kinds, limits and choices, the same for page, address line and engine."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.lab.refusal import RefusedError
from headwater.lessons.registry import ORDER as LESSONS
from headwater.theory import ACTIVATIONS

Kind = Literal["integer", "number", "choice", "flag", "per_layer", "list", "text"]

PRESETS = ("mlp", "cnn", "rnn")
INITS = (
    "default",
    "normal",
    "xavier",
    "he",
    "lecun",
    "orthogonal",
    "mirrored",
    "critical",
    "lsuv",
    "delta_orthogonal",
    "by_activation",
    "tailored",
)
OUTPUTS = ("identity", "sigmoid", "tanh", "relu")
"""What may stand behind the last layer: nothing, or the heads of the lessons on it."""
NORMALISATIONS = ("none", "batch", "layer")
OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "rmsprop")
DATA = ("digits", "circles", "moons", "spirals", "curve", "folds", "surface", "breast_cancer", "csv")
MOST_DEPTH = 100
MOST_REMEDIES = 6


@dataclass(frozen=True)
class Control:
    """One thing that can be set.

    Attributes:
        id: Name of the field of ``Spec``.
        kind: What its values are.
        low: Smallest number.
        high: Largest number.
        log: Whether its numbers are spread over decades.
        choices: What may be chosen.
        live: Whether a network that trains keeps its weights when this is changed.
    """

    id: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()
    live: bool = False

    def read(self, value: Any) -> Any:
        """The value as ``Spec`` holds it.

        Raises:
            RefusedError: If it is of another kind, or beyond the limits.
        """
        return getattr(self, f"_{self.kind}")(value)

    def _integer(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise self._refused("integer", value)
        return int(self._within(value))

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._refused("number", value)
        return float(self._within(value))

    def _within(self, value: float) -> float:
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise self._refused("range", value, low=self.low, high=self.high)
        return value

    def _choice(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise self._refused("choice", value, choices=", ".join(self.choices))
        return value

    def _flag(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._refused("flag", value)
        return value

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{0,32}", value):
            raise self._refused("text", value)
        return value

    def _list(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise self._refused("list", value)
        if self.high and len(value) > self.high:
            raise self._refused("many", len(value), high=self.high)
        if self.choices:
            return tuple(self._choice(item) for item in dict.fromkeys(value))
        bad = next((item for item in value if not re.fullmatch(r"[a-z0-9_.:\-]{1,60}", item)), None)
        if bad is not None:
            raise self._refused("list", bad)
        return tuple(value)

    def _per_layer(self, value: Any) -> dict[int, str]:
        if not isinstance(value, Mapping) or not all(str(key).isascii() and str(key).isdigit() for key in value):
            raise self._refused("per_layer", value)
        if len(value) > MOST_DEPTH:
            raise self._refused("many", len(value), high=MOST_DEPTH)
        found = {int(str(key)[:9]): self._choice(item) for key, item in value.items()}
        bad = next((layer for layer in found if not 1 <= layer < MOST_DEPTH), None)
        if bad is not None:
            raise self._refused("layer", bad, high=MOST_DEPTH - 1)
        return dict(sorted(found.items()))

    def _refused(self, why: str, value: Any, **limits: Any) -> RefusedError:
        return RefusedError(f"value.{why}", {"control": self.id, "got": repr(value)[:60], **limits}, self.id)


_ACTIVATIONS = tuple(ACTIVATIONS)
# Without these two, which say what may be set, the others' names are what may be locked or hidden.
_SETTABLE = (
    Control("preset", "choice", choices=PRESETS),
    Control("residual", "flag"),
    Control("depth", "integer", 1, MOST_DEPTH),
    Control("width", "integer", 1, 256),
    Control("activation", "choice", choices=_ACTIVATIONS, live=True),
    Control("activations", "per_layer", choices=_ACTIVATIONS, live=True),
    Control("output", "choice", choices=OUTPUTS),
    Control("init", "choice", choices=INITS),
    # Beyond any sense on purpose: what becomes of w = 1e30 is worth seeing. float32 ends at 3.4e38.
    Control("scale", "number", 0.0, 1e36, log=True),
    Control("bias", "number", -1e6, 1e6),
    Control("normalisation", "choice", choices=NORMALISATIONS),
    Control("dropout", "number", 0.0, 0.95, live=True),
    Control("l1", "number", 0.0, 1e6, log=True, live=True),
    Control("l2", "number", 0.0, 1e6, log=True, live=True),
    Control("optimizer", "choice", choices=OPTIMIZERS, live=True),
    Control("learning_rate", "number", 0.0, 1e12, log=True, live=True),
    Control("batch_size", "integer", 1, 512, live=True),
    Control("data", "choice", choices=DATA),
    Control("samples", "integer", 0, 5000),
    Control("csv", "text"),
    Control("seed", "integer", 0, 2**31 - 1),
    Control("remedies", "list", high=MOST_REMEDIES),
)
LOCKABLE = tuple(control.id for control in _SETTABLE)

CONTROLS: dict[str, Control] = {
    control.id: control
    for control in (
        *_SETTABLE,
        Control("locked", "list", choices=LOCKABLE),
        Control("hidden", "list", choices=LOCKABLE),
        Control("lesson", "choice", choices=("", *LESSONS)),
    )
}
