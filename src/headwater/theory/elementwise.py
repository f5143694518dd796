"""Functions that somebody else wrote, as what the formulas take: float arrays to float arrays, element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from headwater.records import InputError
from headwater.theory.activation import Array

_PROBE = np.linspace(-2.3, 2.9, 9)  # neither symmetric nor round, so that no value stands for another


def elementwise(function: Callable[[Any], Any], name: str) -> Callable[[Array], Array]:
    """The function itself where it takes arrays; else with numbers, tensors, booleans and constants made arrays.

    A function of one number, as ``math.tanh``, is called for each, and what returns one number for all is a constant.

    Args:
        function: φ or φ′.
        name: What to call it in a message.

    Raises:
        InputError: If it takes neither arrays nor numbers, returns complex numbers or none at all, or if one element's
            value depends on the others.
    """
    with np.errstate(all="ignore"):
        whole, found = _called(function, name)
        values, some = _as_array(found, _PROBE, name), _as_array(whole(_PROBE[::2].copy()), _PROBE[::2], name)
    if not np.allclose(values[::2], some, rtol=1e-5, atol=1e-12, equal_nan=True):
        raise InputError(
            f"{name} does not treat each element by itself, or gives other values when it is called again: an "
            "activation is a function of one number, as in nonlinearity(np.sin, np.cos)."
        )
    is_plain = isinstance(found, np.ndarray) and found.dtype == np.float64 and found.shape == _PROBE.shape
    return function if whole is function and is_plain else _Elementwise(whole, name)


class _Elementwise:
    """Whatever it returns as an array of the argument's shape; single precision stays what it is."""

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self._function, self._name = function, name
        update_wrapper(self, function, assigned=("__name__", "__doc__"), updated=())

    def __call__(self, x: Array) -> Array:
        return _as_array(self._function(x), x, self._name)


def _called(function: Callable[[Any], Any], name: str) -> tuple[Callable[[Any], Any], Any]:
    """The function of arrays, and what it makes of the probe."""
    try:
        return function, function(_PROBE.copy())
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        one_by_one = np.vectorize(function)
        try:
            return one_by_one, one_by_one(_PROBE)
        except Exception:
            raise InputError(
                f"{name} takes neither an array nor a number ({type(error).__name__}: {_first_line(error)}). Pass "
                "functions of numpy arrays, as in nonlinearity(np.tanh, lambda x: 1 - np.tanh(x) ** 2); one of torch "
                "tensors as lambda x: torch.tanh(torch.from_numpy(x)).numpy()."
            ) from error


def _as_array(found: Any, x: Array, name: str) -> Array:
    try:
        values = np.asarray(found)
        if found is None:
            raise TypeError
        if not np.issubdtype(values.dtype, np.floating) and not np.iscomplexobj(values):
            values = values.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} returns {type(found).__name__}, of which no array of numbers can be made.") from error
    if np.iscomplexobj(values):
        raise InputError(
            f"{name} returns complex numbers; the formulas hold for real ones. Pass its real part or size."
        )
    if values.shape not in ((), x.shape):
        raise InputError(f"{name} returns shape {list(values.shape)} for an array of shape {list(x.shape)}.")
    return np.broadcast_to(values, x.shape)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
