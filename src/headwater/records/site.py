"""Where something is measured."""

from dataclasses import dataclass, field
from typing import Literal

Scalar = float | str

SiteKind = Literal[
    "activation", "affine", "normalization", "pooling", "embedding", "recurrent", "attention", "join", "other"
]


@dataclass(frozen=True)
class Site:
    """One operation in execution order: a leaf module's output or a functional activation.

    Attributes:
        name: As ``named_modules()`` names the module; a function inside a ``forward`` adds its op and number
            (``layer2.0/relu#1``); a module called more than once adds the call (``act#2``).
        op: Class name of the module, or name of the function.
        kind: What sort of operation it is; the attribution groups by it.
        order: Place in execution order, from 0.
        module: Name of the module that ran it, the owner for a function; ``""`` is the model itself.
        activation: Id in ``theory.activations`` if the operation is a known activation.
        parameters: Names of the parameters the module owns itself.
        shape: Shape of the output, batch first.
        dtype: Element type of the output, such as ``float32``.
        activation_parameters: The slopes or bounds the activation really used; of slopes per channel their rms.
        settings: What decides on how the operation treats its input: a dropout's ``p``, a normalisation's ``training``.
        functional: Whether it is a function called inside a ``forward``, which no module stands for.
        followed_by: Of an affine map, the activations (by their ``order``) that its output reaches before another
            affine map, through normalisation, dropout, pooling, changes of shape and sums; ``None`` where that was not
            looked for or could not be seen.
    """

    name: str
    op: str
    kind: SiteKind
    order: int
    module: str
    activation: str | None = None
    parameters: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    functional: bool = False
    activation_parameters: dict[str, Scalar] = field(default_factory=dict)
    settings: dict[str, Scalar] = field(default_factory=dict)
    followed_by: tuple[int, ...] | None = None
