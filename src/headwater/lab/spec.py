"""The state of a lab's network: one frozen record, strict JSON both ways, and a short form for the address line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from headwater.lab.controls import CONTROLS, Control
from headwater.lab.refusal import RefusedError
from headwater.records import encode

MOST_STATE = 2000  # characters of a state in an address, about what every browser and messenger takes
_PAIRS, _LIST = "~", "*"


@dataclass(frozen=True)
class Spec:
    """Everything that a network of the lab, its data and its training are made from.

    The same spec gives the same numbers on every machine of one kind: weights, order of samples and dropout masks all
    hang on ``seed``.

    Attributes:
        preset: ``mlp``, ``cnn`` or ``rnn``.
        residual: Whether each hidden layer is added to its input.
        depth: Weight layers, the output layer included.
        width: Units of a hidden layer, channels of a convolution.
        activation: Id in ``theory.ACTIVATIONS`` of every hidden layer.
        activations: Of single hidden layers, by their number from 1.
        output: Id of the activation of the output layer; ``identity`` for none.
        init: What draws the weights.
        scale: Factor on the standard deviation of what ``init`` draws; of ``normal`` the deviation itself.
        bias: What every hidden bias begins with.
        normalisation: ``none``, ``batch`` or ``layer``, between the affine map and the activation.
        dropout: Share of the hidden units that is left out of a training step.
        l1: λ of the penalty λ·Σ|w|.
        l2: λ of the penalty λ/2·Σw².
        optimizer: Its kind.
        learning_rate: Of the optimizer.
        batch_size: Samples of a training step.
        data: What it is trained on.
        samples: How many of the training samples are used; 0 for all.
        csv: Of ``data="csv"``, which upload.
        seed: Of weights, order of samples, dropout and remedies.
        remedies: Ids of remedies that are applied to the finished network, in order.
        locked: Controls that may not be changed.
        hidden: Controls that are not shown.
        lesson: Whose goal is to be reached; ``""`` for none.
    """

    SCHEMA: ClassVar[str] = "headwater/lab/1"

    preset: str = "mlp"
    residual: bool = False
    depth: int = 20
    width: int = 64
    activation: str = "sigmoid"
    activations: Mapping[int, str] = field(default_factory=dict)
    output: str = "identity"
    init: str = "xavier"
    scale: float = 1.0
    bias: float = 0.0
    normalisation: str = "none"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 0.001
    batch_size: int = 64
    data: str = "digits"
    samples: int = 0
    csv: str = ""
    seed: int = 0
    remedies: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    lesson: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; :meth:`from_dict` reads it back."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The spec that ``data`` describes; what it does not name is as by default.

        Raises:
            RefusedError: If a control is unknown, of the wrong kind or beyond its limits; the message has these.
        """
        return cls().changed(data)

    def changed(self, data: Any) -> Self:
        """The same with other values.

        Args:
            data: Values by control, as JSON has them.

        Raises:
            RefusedError: As :meth:`from_dict`.
        """
        if not isinstance(data, Mapping):
            raise RefusedError("no_object", {"got": _shown(data)})
        if data.get("schema", self.SCHEMA) != self.SCHEMA:
            raise RefusedError("schema", {"expected": self.SCHEMA, "got": _shown(data.get("schema"))})
        values = {}
        for name, value in data.items():
            if name == "schema":
                continue
            values[_control(name).id] = _control(name).read(value)
        return replace(self, **values)

    def to_state(self) -> str:
        """The short form, of what is not as by default: letters, digits and ``- _ . ~ * :``."""
        default = type(self)()
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(default, f.name)]
        return _PAIRS.join(f"{name}.{_written(getattr(self, name))}" for name in changed)

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """The spec of a short form.

        Raises:
            RefusedError: If it is none; the message names what is wrong in it.
        """
        if not isinstance(state, str) or len(state) > MOST_STATE:
            raise RefusedError("state_long", {"most": MOST_STATE})
        data: dict[str, Any] = {}
        for pair in filter(None, state.split(_PAIRS)):
            name, dot, written = pair.partition(".")
            if not dot or name in data:
                raise RefusedError("state_pair", {"pair": _shown(pair)})
            data[name] = _parsed(_control(name), written)
        return cls.from_dict(data)


def _control(name: Any) -> Control:
    if name not in CONTROLS:
        raise RefusedError("control", {"control": _shown(name), "known": ", ".join(CONTROLS)})
    return CONTROLS[name]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Mapping):
        return _LIST.join(f"{key}:{item}" for key, item in sorted(value.items()))
    if isinstance(value, tuple):
        return _LIST.join(value)
    return repr(value).replace("+", "") if isinstance(value, float) else str(value)


def _parsed(control: Control, written: str) -> Any:
    """What JSON would have in the place of what was written; what is no such thing is for the control to refuse."""
    parts = [part for part in written.split(_LIST) if part]
    if control.kind == "list":
        return parts
    if control.kind == "per_layer":
        return {layer: value for layer, _, value in (part.partition(":") for part in parts)}
    if control.kind == "flag":
        return {"0": False, "1": True}.get(written, written)
    if control.kind in ("integer", "number"):
        try:
            return int(written) if control.kind == "integer" else float(written)
        except ValueError:
            return written
    return written


def _shown(value: Any) -> str:
    """Of something hostile, a little."""
    return repr(value)[:60]
