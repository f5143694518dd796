"""The activation that a formula is asked about: one of the table at its parameters, or a user's own."""

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from numbers import Real
from typing import Any

import numpy as np

from headwater.records import InputError
from headwater.theory.activation import Activation, Array
from headwater.theory.activations import ACTIVATIONS
from headwater.theory.elementwise import elementwise
from headwater.theory.kinks import find_kinks

Elementwise = Callable[[Array], Array]

_LEAST_CUSP = 0.02  # a power of growth below is none: 15 % in three decades
_GREATEST_CUSP = 0.45  # from a half on the integral of φ′² is infinite, and just below it cannot be told from that


@dataclass(frozen=True)
class Nonlinearity:
    """An activation function of one variable, its parameters settled.

    Attributes:
        name: What to call it, such as ``leaky_relu(negative_slope=0.2)``.
        phi: φ, elementwise, any shape to the same shape.
        derivative: φ′, likewise.
        kinks: Where φ, φ′ or φ″ jumps.
        cusps: Those of them towards which φ′ grows without bound, as at 0 for √|x|.
    """

    name: str
    phi: Elementwise
    derivative: Elementwise
    kinks: tuple[float, ...] = ()
    cusps: tuple[float, ...] = ()

    @property
    def infinite_slope(self) -> float | None:
        """Where φ′² grows so fast that it has no mean; ``None`` if nowhere."""
        return next((cusp for cusp in self.cusps if _steepens(self.derivative, cusp) > _GREATEST_CUSP), None)


NonlinearityLike = Nonlinearity | Activation | str


def nonlinearity(
    phi: NonlinearityLike | Elementwise,
    derivative: Elementwise | None = None,
    *,
    kinks: Iterable[float] | None = None,
    **parameters: Any,
) -> Nonlinearity:
    """An activation of the table, by id and parameters, or one of your own, by φ and φ′.

    Args:
        phi: Id in the table, such as ``"tanh"``, or φ itself, elementwise on numpy arrays.
        derivative: φ′, needed with a φ of your own.
        kinks: Where φ or φ′ of your own jumps; looked for if not given.
        parameters: Those of the activation of the table, by name; its defaults for the others.

    Raises:
        InputError: If the id or a parameter is unknown, or φ comes without φ′.

    Example:
        >>> nonlinearity("leaky_relu", negative_slope=0.2).name
        'leaky_relu(negative_slope=0.2)'
        >>> nonlinearity(abs, lambda x: 1.0 * (x > 0) - (x < 0)).kinks
        (0.0,)
    """
    if isinstance(phi, Nonlinearity):
        return phi
    if isinstance(phi, str | Activation):
        if derivative is not None or kinks is not None:
            raise InputError(f"{_id(phi)!r} is of the table, which has its derivative and kinks: pass the id alone.")
        _require_parameters(activation_of(_id(phi)), parameters)
        return _of_table(_id(phi), tuple(sorted(parameters.items())))
    if not callable(phi):
        raise InputError(f"an activation is an id of the table or a function, got {phi!r}: {_examples()}")
    if derivative is None:
        raise InputError(
            f"{_name(phi)} comes without its derivative: pass both, as in nonlinearity(np.sin, np.cos), "
            "or the id of an activation of the table, as in nonlinearity('tanh')."
        )
    if parameters:
        raise InputError(
            f"parameters {sorted(parameters)} go with an id of the table; settle those of your own function first, "
            "as in nonlinearity(functools.partial(phi, beta=2.0), functools.partial(derivative, beta=2.0))."
        )
    name = _name(phi)
    phi, derivative = elementwise(phi, name), elementwise(derivative, f"the derivative of {name}")
    found = find_kinks(phi, derivative) if kinks is None else tuple(sorted(float(kink) for kink in kinks))
    return Nonlinearity(name, phi, derivative, found, tuple(k for k in found if _steepens(derivative, k) > _LEAST_CUSP))


def _steepens(derivative: Elementwise, place: float) -> float:
    """The power p by which φ′ grows as |x - place|^-p, between a thousandth and a millionth of it."""
    near, far = (np.array([place - h, place + h]) for h in (1e-6, 1e-3))
    with np.errstate(all="ignore"):
        steep, less = (float(np.max(np.abs(derivative(x)))) for x in (near, far))
    return math.log10(steep / less) / 3.0 if 0.0 < less < math.inf and 0.0 < steep < math.inf else 0.0


def activation_of(id_: str) -> Activation:
    """The entry of the table.

    Raises:
        InputError: If there is none of that id; the message offers the nearest.
    """
    if not isinstance(id_, str):
        raise InputError(f"an activation is named by an id of the table, such as 'relu', got {id_!r}.")
    if id_ in ACTIVATIONS:
        return ACTIVATIONS[id_]
    near = difflib.get_close_matches(id_.lower(), ACTIVATIONS, n=3, cutoff=0.4)
    meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise InputError(f"no activation {id_!r}: {meant}The table has {', '.join(ACTIVATIONS)}.")


@cache
def _of_table(id_: str, parameters: tuple[tuple[str, Any], ...]) -> Nonlinearity:
    activation, given = ACTIVATIONS[id_], dict(parameters)
    arguments = ", ".join(f"{name}={value!r}" for name, value in parameters)
    return Nonlinearity(
        f"{id_}({arguments})" if arguments else id_,
        partial(activation.phi, **given),
        partial(activation.derivative, **given),
        activation.kinks_at(**given) if activation.kinks_at else activation.kinks,
    )


def _require_parameters(activation: Activation, parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        if name not in activation.parameters:
            known = ", ".join(f"{name}={default!r}" for name, default in activation.parameters.items()) or "none"
            raise InputError(f"{activation.id} has no parameter {name!r}; it has {known}.")
        default = activation.parameters[name]
        fits = isinstance(value, str) if isinstance(default, str) else _is_number(value)
        if not fits:
            raise InputError(f"{name} of {activation.id} is {value!r}; pass one value of the kind of {default!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _id(phi: str | Activation) -> str:
    return phi if isinstance(phi, str) else phi.id


def _name(phi: Elementwise) -> str:
    return getattr(phi, "__name__", type(phi).__name__)


def _examples() -> str:
    return "nonlinearity('tanh'), nonlinearity('leaky_relu', negative_slope=0.2) or nonlinearity(np.sin, np.cos)."
