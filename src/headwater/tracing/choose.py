"""Which weight is explained: ``0.weight``, ``0.weight[0,1]``, or the first one."""

from __future__ import annotations

import difflib
import re

from torch import nn

from headwater.records import InputError

_NAME = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<index>[-\d\s,]*)\])?$")


def chosen(model: nn.Module, wanted: str | None, used: set[str]) -> tuple[str, tuple[int, ...] | None]:
    """The parameter's name and the index asked for, ``None`` where none was.

    Args:
        model: Whose parameter.
        wanted: Name, with an index or without; ``None`` for the first weight that took part.
        used: Names of the parameters that took part.

    Raises:
        InputError: If there is no such parameter or element, or it took no part.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if wanted is None:
        first = next((n for n in parameters if n in used and n.endswith("weight")), None) or next(
            (n for n in parameters if n in used), None
        )
        if first is None:
            raise InputError(
                "no parameter of the model takes part in what is differentiated: "
                "return what its layers compute, hw.trace(model, x)."
            )
        return first, None
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
        raise InputError(
            f"{name} took no part in what is differentiated, so its gradient is not there. "
            f"Parameters that did: {', '.join(sorted(used)[:4])}: parameter={next(iter(sorted(used)), '')!r}"
        )
    if match is None or match["index"] is None:
        return name, None
    return name, _index(wanted, match["index"], tuple(parameters[name].shape), name)


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
