"""Which weight is explained: ``0.weight``, ``0.weight[0,1]``, or the first one."""

from __future__ import annotations

import difflib
import re

from torch import nn

from headwater.records import InputError
from headwater.tracing.capture import Capture

_NAME = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<index>[-\d\s,]*)\])?$")


def chosen(capture: Capture, wanted: str | None, used: set[str]) -> tuple[str, tuple[int, ...] | None]:
    """The parameter's name and the index asked for, ``None`` where none was.

    Args:
        capture: Of the pass of the model whose parameter it is.
        wanted: Name, with an index or without; ``None`` for the first weight that took part.
        used: Names of the parameters that took part.

    Raises:
        InputError: If there is no such parameter or element, or it took no part.
    """
    parameters = dict(capture.model.named_parameters(remove_duplicate=False))
    if wanted is None:
        return _first(capture, parameters, used), None
    if not isinstance(wanted, str):
        raise InputError(f'parameter is a name, got {wanted!r:.60}: hw.trace(model, x, y, parameter="0.weight[0,1]")')
    match = _NAME.match(wanted.strip())
    name = match["name"] if match else wanted
    if name not in parameters:
        near = difflib.get_close_matches(name, parameters, n=3, cutoff=0.3) or list(parameters)[:3]
        raise InputError(
            f"there is no parameter {name!r} in the model. Its names are those of model.named_parameters(), such as "
            + ", ".join(f'parameter="{other}"' for other in near)
        )
    if name not in used:
        others = [other for other in parameters if other in used]
        raise InputError(
            f"{name} took no part in what is differentiated, so its gradient is not there.{_cut_off(capture)} "
            f"Parameters that did: {', '.join(others[:4])}: parameter={others[0]!r}"
        )
    if match is None or match["index"] is None:
        return name, None
    return name, _index(wanted, match["index"], tuple(parameters[name].shape), name)


def _first(capture: Capture, parameters: dict[str, nn.Parameter], used: set[str]) -> str:
    """The first weight, or the first parameter where none is a weight."""
    weights = [name for name in parameters if name.rpartition(".")[2].startswith("weight")]
    first = next((name for name in [*weights, *parameters] if name in used), None)
    if first is None:
        raise InputError(
            "no parameter of the model takes part in what is differentiated: "
            "return what its layers compute, hw.trace(model, x)."
        )
    ran = {id(p) for operation in capture.operations if operation.module for p in operation.module.parameters()}
    before = next((name for name in weights if name not in used and id(parameters[name]) in ran), None)
    if before is not None and capture.without_derivative and weights.index(before) < weights.index(first):
        raise InputError(
            f"no gradient reaches {before}.{_cut_off(capture)} Use an activation with a derivative, such as sigmoid or "
            f"relu, or explain a weight after it: parameter={first!r}"
        )
    return first


def _cut_off(capture: Capture) -> str:
    """Where the way back ends, if it is known."""
    if not capture.without_derivative:
        return ""
    return f" The way back ends at {capture.without_derivative[-1]}, which has no derivative."


def _index(wanted: str, inside: str, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    numbers = [part for part in inside.replace(" ", "").split(",") if part]
    index = tuple(int(n) for n in numbers if re.fullmatch(r"-?\d+", n))
    fits = len(index) == len(numbers) == len(shape) and all(-s <= i < s for i, s in zip(index, shape, strict=True))
    if not fits:
        last = ",".join(str(size - 1) for size in shape)
        raise InputError(
            f"{wanted!r} is no element of {name}, whose shape is {list(shape)}: "
            f'from parameter="{name}[{",".join("0" for _ in shape)}]" to parameter="{name}[{last}]"'
        )
    return tuple(i % s for i, s in zip(index, shape, strict=True))
